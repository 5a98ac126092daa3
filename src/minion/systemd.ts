/** The minion under systemd: its unit, and the notes that systemd waits for (sd_notify, by the program systemd-notify: Node has no such sockets). */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'

export interface UnitOptions {
  readonly node: string
  readonly program: string
  /** Of `brine minion`. */
  readonly args: readonly string[]
  /** The minion's directory, absolute. */
  readonly dir: string
}

/**
 * A systemd unit for a minion. Little is closed off, on purpose: states manage the whole machine, and what the minion may not do, they may not.
 */
export function systemdUnit({ node, program, args, dir }: UnitOptions): string {
  return `[Unit]
Description=brine minion
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=all
ExecStart=${[node, program, 'minion', ...args].map(quoted).join(' ')}
ExecReload=/bin/kill -HUP $MAINPID
Environment=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
Restart=always
RestartSec=5
# An agent whose loop stands still is started anew.
WatchdogSec=120
# Jobs get 10 seconds to end, then they are killed and return that they were interrupted.
TimeoutStopSec=30
KillMode=mixed
# A job that takes too much memory ends; the agent and its other jobs go on.
OOMPolicy=continue
LimitNOFILE=65536
# Nothing that a state could want: no other execution domain, no keys of other services.
LockPersonality=yes
KeyringMode=private
# ${dirname(dir)} must exist; the minion makes ${dir} itself, for its owner alone.
UMask=0022

[Install]
WantedBy=multi-user.target
`
}

function quoted(word: string): string {
  return /^[\w@+=:,./-]+$/.test(word) ? word : `"${word.replace(/[\\"]/g, '\\$&').replaceAll('%', '%%').replaceAll('$', '$$$$')}"`
}

/** Tells systemd how the agent is, if systemd has started it. Without it, nothing happens. Returns its end. */
export function notifySystemd(env: NodeJS.ProcessEnv = process.env): () => void {
  if (!env.NOTIFY_SOCKET) return () => {}
  notify('--ready')
  const limitMs = Number(env.WATCHDOG_USEC ?? 0) / 1000
  // Half of the limit, as systemd advises. The timer is the watchdog: a loop that stands still does not fire it.
  const timer = limitMs > 0 ? setInterval(() => notify('WATCHDOG=1'), limitMs / 2) : null
  timer?.unref()
  return () => {
    if (timer) clearInterval(timer)
    notify('--stopping')
  }
}

function notify(what: string): void {
  const child = spawn('systemd-notify', [what], { stdio: 'ignore' })
  child.on('error', () => {}) // systemd without its tools: the unit's time limits then end the agent, which says so
  child.unref()
}
