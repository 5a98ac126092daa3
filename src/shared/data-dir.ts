import { join } from 'node:path'

/** The files beside the log that server and command line both know. All are 0600: who can read them can do everything. */
export interface DataFiles {
  /** The administrator's token, for the command line. */
  readonly adminToken: string
  /** Where the running server listens: `http://127.0.0.1:8000`. Written at the start. */
  readonly url: string
  readonly users: string
  readonly jwtKey: string
  /** The server's own RSA key pair, PEM: Salt's master.pem and master.pub. */
  readonly masterKey: string
  readonly masterPub: string
}

export function dataFiles(dir: string): DataFiles {
  return {
    adminToken: join(dir, 'admin.token'),
    url: join(dir, 'url'),
    users: join(dir, 'users.yaml'),
    jwtKey: join(dir, 'jwt.key'),
    masterKey: join(dir, 'master.pem'),
    masterPub: join(dir, 'master.pub')
  }
}
