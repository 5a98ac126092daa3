import { type ExternalAuth, readExternalAuth } from '../auth/external-auth.js'
import { MERGE_STRATEGIES, type MergeStrategy } from '../pillar/merge.js'
import { fault, isMapping, kindOf, type Read, type Setting } from './setting.js'
import {
  addresses,
  boolean,
  choice,
  choices,
  custom,
  integer,
  lists,
  mapping,
  nodegroups,
  number,
  optionalPath,
  optionalText,
  path,
  paths,
  reactor,
  roots,
  text,
  texts,
  urlPath
} from './types.js'

/** salt-api's clients (golden/api section 8). */
const CLIENTS = ['local', 'local_async', 'local_batch', 'local_subset', 'runner', 'runner_async', 'wheel', 'wheel_async'] as const

/**
 * Every setting, once. Where Salt has the setting it has Salt's name, so an existing `/etc/salt/master` loads. A setting's environment
 * variable is `BRINE_` and its name in capitals (`environmentName`); its flag, where it has one, stands beside it.
 * `examples/brine.yaml` is made from this table (`sample.ts`; a test compares them).
 */
const TABLE = {
  'The HTTP server': {
    host: text({
      default: '127.0.0.1',
      meaning: 'Address to listen on. In rest_cherrypy: host. Outside of loopback put a TLS proxy in front: tokens travel in headers.',
      flag: '--host <address>'
    }),
    port: integer({
      default: 8000,
      max: 65535,
      meaning: 'Port to listen on; 0 takes a free one (the first line of output names it). In rest_cherrypy: port.',
      flag: '--port <port>'
    }),
    data_dir: path({
      default: 'data',
      meaning: 'Directory of everything that lasts: event log, keys, users, admin token. Created with mode 0700.',
      flag: '--data <dir>'
    }),
    log_level: choice({
      default: 'warn',
      choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      aliases: { all: 'trace', garbage: 'trace', profile: 'debug', warning: 'warn', critical: 'fatal', quiet: 'silent' },
      meaning: "Least level that is logged. Salt's names (warning, critical, quiet …) are understood.",
      for: 'both',
      flag: '--log-level <level>'
    }),
    max_request_body_size: integer({
      default: 8 * 1024 * 1024,
      min: 1024,
      unit: 'bytes',
      meaning: 'Largest request body, else 413. Bulk firing as NDJSON is streamed and not bound by it. In rest_cherrypy too.'
    }),
    cors_origin: texts({
      default: [],
      meaning: 'Origins whose pages may call the API from a browser (`https://gui.example`). None by default; "*" is refused with cookies.'
    }),
    trusted_proxies: texts({
      default: [],
      meaning: 'Addresses or networks of proxies whose X-Forwarded-For is believed when a client address is needed (login rate limit).'
    })
  },
  "salt-api's own (rest_cherrypy; also as a mapping of that name)": {
    'rest_cherrypy.webhook_url': urlPath({ default: '/hook', meaning: 'Path of the webhooks. Their tags stay below salt/netapi/hook.' }),
    'rest_cherrypy.webhook_disable_auth': boolean({
      default: false,
      meaning: 'Webhooks need no token: whoever can connect fires hook events. Better give each sender a token of its own.'
    }),
    'rest_cherrypy.app': optionalPath({
      default: null,
      meaning: 'HTML file of a GUI: served at app_path, and at every path to a browser that asks for a page.'
    }),
    'rest_cherrypy.app_path': urlPath({ default: '/app', meaning: 'Where the GUI is; without `app` a page that watches events.' }),
    'rest_cherrypy.static': optionalPath({ default: null, meaning: "Directory of the GUI's other files, served without a token." }),
    'rest_cherrypy.static_path': urlPath({ default: '/static', meaning: 'Where they are.' }),
    'rest_cherrypy.enable_sessions': boolean({
      default: true,
      meaning: 'False: no /login, /logout, /minions and /jobs; commands go through /run with credentials or tokens.'
    }),
    'rest_cherrypy.stats_disable_auth': boolean({ default: false, meaning: '/stats needs no token.' }),
    'rest_cherrypy.collect_stats': boolean({
      default: false,
      meaning: '/stats lists the requests under way and the last ones, without their queries.'
    }),
    'rest_cherrypy.authorized_ips': texts({
      default: [],
      meaning: 'Addresses that may ask the API; all others get 403. Minions are not meant. Empty: all. (Salt: the same.)'
    }),
    'rest_cherrypy.api_acl': custom<{ readonly users: Readonly<Record<string, readonly string[]>> }>(
      {
        default: { users: {} },
        meaning: 'From which addresses users may give their credentials: users → name, or `*` for the others → addresses, or `*` for all.',
        example: `
rest_cherrypy.api_acl:
  users: {'*': ['*'], admin: [127.0.0.1]}`
      },
      'mapping with users, a mapping of names to lists of addresses',
      readApiAcl
    ),
    'rest_cherrypy.root_prefix': urlPath(
      {
        default: '/',
        meaning: 'Path below which the API is, when a proxy does not take it off. Minions, health and metrics are found without it too.'
      },
      { root: true }
    )
  },
  'Event log': {
    max_event_size: integer({
      default: 1024 * 1024,
      min: 1024,
      max: 64 * 1024 * 1024,
      unit: 'bytes',
      meaning: "Largest data of one event as JSON, else 413. Salt's 1 MiB."
    }),
    event_retention_seconds: integer({
      default: 7 * 86_400,
      unit: 's',
      meaning: 'Events older than this are dropped, oldest first. 0 keeps them whatever their age.'
    }),
    event_retention_count: integer({
      default: 10_000_000,
      unit: 'events',
      meaning: 'So many events are kept at most, the newest ones. 0: no limit.'
    }),
    idempotency_keep_seconds: integer({
      default: 7 * 86_400,
      min: 60,
      unit: 's',
      meaning: 'For so long a repeated Idempotency-Key is answered with the first event instead of firing again.'
    }),
    max_waiting_writes: integer({
      default: 10_000,
      min: 1,
      unit: 'writes',
      meaning: 'Writes that may wait for the disk. More are refused with 503 and Retry-After, so that memory stays bounded.'
    }),
    hook_headers: texts({
      default: [
        'Accept',
        'Accept-Encoding',
        'Accept-Language',
        'Connection',
        'Content-Length',
        'Content-Type',
        'Host',
        'Remote-Addr',
        'User-Agent',
        'X-Event-Key',
        'X-GitHub-Delivery',
        'X-GitHub-Event',
        'X-GitHub-Hook-ID',
        'X-Gitea-Delivery',
        'X-Gitea-Event',
        'X-Gitlab-Event',
        'X-Gitlab-Event-UUID',
        'X-Request-Id'
      ],
      meaning:
        "Request headers that a hook event keeps; '*': all, as in salt-api. Credentials and signatures are never kept, listed here or not."
    })
  },
  Streams: {
    sse_heartbeat_seconds: number({
      default: 15,
      min: 1,
      max: 3600,
      unit: 's',
      meaning: 'An idle stream gets a comment line this often, so that proxies keep it open and dead peers are noticed.'
    }),
    max_subscribers: integer({
      default: 10_000,
      min: 1,
      unit: 'streams',
      meaning: 'Open event streams at a time; more are refused with 503.'
    }),
    subscriber_buffer_bytes: integer({
      default: 1024 * 1024,
      min: 16 * 1024,
      unit: 'bytes',
      meaning: 'A reader that lags behind by more than this is cut off; it resumes with its Last-Event-ID.'
    })
  },
  'Who may do what': {
    external_auth: custom<ExternalAuth>(
      {
        default: {},
        meaning:
          "Salt's permissions: backend (file, ldap, pam, sharedsecret; token for tokens of programs) → user, `*` or `group%` → list. Nothing is permitted " +
          'by default. A function pattern is a regular expression for the whole name; `test.*` is everything in test. @jobs also reads the events ' +
          'of jobs; who has some permission may post hooks. `@events` reads and fires all tags but those of the server.',
        example: `
external_auth:
  file:
    alice: ['.*', '@wheel', '@runner', '@jobs', '@events']
    bob:
      - 'web*': [test.ping, {state.apply: {args: [site], kwargs: {test: 'True'}}}]
      - '@runner': [jobs.list_jobs, manage.up]
    'ops%': [pkg.*, '@jobs']
  token:
    ci: [{'@events': ['ci/*', {read: ['salt/job/*']}]}]`
      },
      'mapping of backends to mappings of users to lists of permissions',
      readExternalAuth
    ),
    sharedsecret: optionalText({
      default: null,
      secret: true,
      meaning: 'Password that users of the sharedsecret backend share. null: the backend is off.'
    }),
    token_expire: integer({ default: 43_200, min: 1, unit: 's', meaning: 'How long a login lasts.' }),
    token_expire_user_override: custom<boolean | Readonly<Record<string, readonly string[]>>>(
      {
        default: false,
        meaning: 'Who may ask for another lifetime at login (`token_expire`): true for all, or backend → list of users, as in Salt.'
      },
      'boolean, or mapping of backends to lists of users',
      value => (typeof value === 'boolean' ? { value } : lists({ default: {}, meaning: '' }).read(value))
    ),
    ticket_seconds: integer({
      default: 60,
      min: 1,
      max: 3600,
      unit: 's',
      meaning: 'How long a ticket (POST /events/ticket) may be used to open a stream.'
    }),
    login_attempts_per_minute: integer({
      default: 10,
      min: 1,
      unit: 'attempts per minute',
      meaning: 'Failed logins that one address, and one user name, may make before 429 is answered.'
    }),
    'auth.pam.service': text({
      default: 'login',
      meaning:
        "PAM service (a file of /etc/pam.d) that the backend pam asks. Needs the system's program pamtester; without it unix_chkpwd is asked."
    }),
    'auth.ldap.uri': optionalText({
      default: null,
      meaning: 'Where the directory of the backend ldap is: ldap://HOST[:PORT] or ldaps://…; null: made of server, port and tls.'
    }),
    'auth.ldap.server': text({ default: 'localhost', meaning: 'Host of the directory.' }),
    'auth.ldap.port': integer({ default: 389, min: 1, max: 65535, meaning: 'Port of the directory.' }),
    'auth.ldap.tls': boolean({ default: false, meaning: 'Speak TLS from the start (ldaps).' }),
    'auth.ldap.starttls': boolean({ default: false, meaning: 'Begin in clear and change to TLS before anything is said.' }),
    'auth.ldap.no_verify': boolean({ default: false, meaning: "Do not check the directory's certificate. For trials only." }),
    'auth.ldap.cafile': optionalPath({ default: null, meaning: "PEM file with the authority that signed the directory's certificate." }),
    'auth.ldap.timeout': number({ default: 5, min: 0.1, max: 60, unit: 's', meaning: 'How long each question to the directory may take.' }),
    'auth.ldap.basedn': text({ default: '', meaning: 'Where users are looked for: `dc=example,dc=com`.' }),
    'auth.ldap.scope': integer({
      default: 2,
      max: 2,
      meaning: 'How deep: 0 the entry itself, 1 the level below it, 2 everything below it.'
    }),
    'auth.ldap.filter': text({ default: 'uid={{ username }}', meaning: 'Which entry is the user. `{{ username }}` stands for the name.' }),
    'auth.ldap.anonymous': boolean({ default: false, meaning: 'Look for users without a bind.' }),
    'auth.ldap.binddn': optionalText({
      default: null,
      meaning:
        'Who looks for users. Without bindpw the user binds as this, with `{{ username }}` in it: `uid={{ username }},ou=people,dc=example,dc=com`.'
    }),
    'auth.ldap.bindpw': optionalText({ default: null, secret: true, meaning: 'Password of binddn.' }),
    'auth.ldap.groupou': optionalText({
      default: 'Groups',
      meaning: 'Groups are looked for in `ou=…` of this name below basedn; empty: below basedn.'
    }),
    'auth.ldap.group_basedn': optionalText({ default: null, meaning: 'Where groups are looked for instead.' }),
    'auth.ldap.groupclass': text({ default: 'posixGroup', meaning: 'Object class of groups.' }),
    'auth.ldap.accountattributename': text({
      default: 'memberUid',
      meaning: "Attribute of a group that names its users: by account name, or (member, uniqueMember) by the user's name in the directory."
    }),
    'auth.ldap.groupattribute': text({ default: 'memberOf', meaning: 'Attribute of a user that names its groups.' }),
    'auth.ldap.group_filter': optionalText({
      default: null,
      meaning: 'Which entries are groups of the user, in place of the three above.'
    }),
    'auth.ldap.activedirectory': boolean({
      default: false,
      meaning: 'The directory is Active Directory: groups have class group and name their users as member.'
    }),
    netapi_enable_clients: choices({
      default: CLIENTS,
      choices: [...CLIENTS, 'ssh'],
      meaning: 'Clients that POST / and POST /run accept. Permissions apply to each of them.'
    })
  },
  Reactor: {
    reactor: reactor({
      default: [],
      for: 'both',
      meaning:
        'Which SLS files are rendered for which event tags, in order. Paths may have globs; salt:// is looked up in file_roots. In the ' +
        'configuration of a minion: caller reactions to events on its own bus.',
      example: `
reactor:
  - 'salt/minion/*/start': [/srv/reactor/start.sls]
  - 'salt/netapi/hook/ci/*': [salt://reactor/build.sls, /srv/reactor/ci/*.sls]`
    }),
    reactor_roots: paths({
      default: [],
      meaning:
        'Directories whose SLS files can be listed, read, written and deleted through the API (/reactor/sls), by whoever may change rules. New ' +
        'files go to the first. Nothing outside of them is reached, by links neither.',
      example: `
reactor_roots: [/srv/reactor]`
    }),
    reactor_reload_interval: integer({
      default: 2,
      max: 86_400,
      unit: 'seconds',
      meaning:
        'How often the files of the configuration are looked at: when one has changed, the rules under reactor are read anew. 0: only when asked ' +
        '(POST /reactor/reload). Other settings apply from the next start. Changed SLS files count at once.'
    }),
    reactor_max_depth: integer({
      default: 16,
      min: 1,
      max: 1000,
      unit: 'reactions',
      meaning: 'Reactions that may follow from one another before a chain is stopped: the guard against loops.'
    }),
    reactor_rate_limit: integer({
      default: 100_000,
      max: 1_000_000,
      unit: 'events a minute',
      meaning:
        'Events of one minute that a rule without a rate_limit of its own reacts to; what is more is blocked, on record, and may be driven again. It ' +
        'ends loops that cannot be traced (a command that calls a hook), and lies far above what a busy rule does. 0: no limit.'
    }),
    reactor_breaker: integer({
      default: 0,
      max: 1_000_000,
      unit: 'failures a minute',
      meaning:
        'Failures within a minute after which a rule without a breaker of its own is blocked for a minute; then one event is tried. 0 (off): what ' +
        'fails is on record and otherwise does no harm.'
    }),
    reactor_attempts: integer({
      default: 5,
      min: 1,
      max: 100,
      unit: 'attempts',
      meaning: 'How often a reaction is tried while nothing was published yet, with growing pauses; then it is a dead letter.'
    })
  },
  'Jobs and minions': {
    timeout: number({
      default: 5,
      min: 0,
      max: 86_400,
      unit: 's',
      meaning: 'How long a job waits for returns before absent minions are asked for.'
    }),
    gather_job_timeout: number({
      default: 10,
      min: 0,
      max: 86_400,
      unit: 's',
      meaning: 'How long the question whether a minion still runs the job may take.'
    }),
    keep_jobs_seconds: integer({
      default: 86_400,
      unit: 's',
      meaning: 'How long jobs, their returns and reactions are kept. 0, as keep_jobs: 0, keeps them for ever.'
    }),
    max_listed_jobs: integer({
      default: 1000,
      min: 1,
      max: 100_000,
      unit: 'jobs',
      meaning:
        'Jobs that GET /jobs and jobs.list_jobs list at most, the newest ones; `before` asks for older ones. Salt lists all there are.'
    }),
    auto_accept: boolean({
      default: false,
      meaning: 'Accept every new minion key. For closed networks only: whoever can connect gets jobs.'
    }),
    autosign_file: optionalPath({
      default: null,
      meaning:
        'File of ids, globs and regular expressions, one per line: new keys of such ids are accepted. Nobody but its owner may be able to write it.'
    }),
    autoreject_file: optionalPath({
      default: null,
      meaning: 'The same for keys that are rejected. It counts before everything that accepts.'
    }),
    autosign_grains_dir: optionalPath({
      default: null,
      meaning:
        'Directory with a file per grain (`uuid`), one value per line: a new minion whose grain, named in its autosign_grains, has one of these is accepted.'
    }),
    presence_events: boolean({ default: false, meaning: 'Fire salt/presence/present every loop_interval, and salt/presence/change.' }),
    loop_interval: integer({
      default: 60,
      min: 1,
      unit: 's',
      meaning: 'How often the server does its rounds: presence, expiry, retention.'
    }),
    enable_legacy_startup_events: boolean({
      default: true,
      for: 'both',
      meaning: 'Fire minion_start beside salt/minion/<id>/start, as Salt does. False on the server: whatever its minions say.'
    }),
    nodegroups: nodegroups({ default: {}, meaning: 'Names for compound targets: `web: "G@role:web and not db*"`.' }),
    file_roots: roots({
      default: { base: ['/srv/salt'] },
      meaning: 'Directories that minions get files and states from, by environment.',
      for: 'both'
    }),
    fileserver_events: boolean({
      default: false,
      meaning: 'Fire salt/fileserver/roots/update when fileserver.update is called, with what changed since the last time.'
    }),
    pillar_roots: roots({
      default: { base: ['/srv/pillar'] },
      meaning: 'Directories of pillar data, by environment; top.sls says which files are meant for which minions.',
      for: 'both'
    }),
    pillar_source_merging_strategy: choice<MergeStrategy>({
      default: 'smart',
      choices: MERGE_STRATEGIES,
      for: 'both',
      meaning:
        "How pillar files that say the same are merged: smart and recurse (level by level), aggregate (lists joined), list, overwrite, none (the minion's own environment alone)."
    }),
    pillar_merge_lists: boolean({ default: false, for: 'both', meaning: 'Join lists of pillar files instead of taking the later one.' }),
    pillar_safe_render_error: boolean({
      default: true,
      for: 'both',
      meaning: 'A minion is told which pillar file failed, and not what was wrong in it: that stands in the log.'
    })
  },
  'The embedded minion': {
    embedded_minion: boolean({
      default: true,
      meaning: 'Run a minion on this machine, as a process of its own, with its key accepted. Off: --no-minion.',
      flag: '--no-minion'
    }),
    embedded_minion_id: text({ default: 'local', meaning: 'The id of that minion.', flag: '--minion-id <id>' })
  },
  'A minion (brine minion)': {
    id: optionalText({ default: null, for: 'minion', meaning: "The minion's id. null: the host name.", flag: '--id <id>' }),
    master: addresses({
      default: 'http://127.0.0.1:8000',
      for: 'minion',
      meaning:
        'URL of the server, or several (a list, or separated by commas), the preferred one first. A bare host name means http://HOST:8000.',
      flag: '--master <url>'
    }),
    master_type: choice({
      default: 'str',
      choices: ['str', 'failover', 'distributed', 'disable'],
      aliases: { standard: 'str' },
      for: 'minion',
      meaning:
        'Several servers are tried in order when one does not answer (str, failover); distributed: each minion begins with one that its id chooses; ' +
        'disable: there is no server.'
    }),
    random_master: boolean({ default: false, for: 'minion', meaning: 'Try several servers in an order of chance.' }),
    master_failback: boolean({ default: false, for: 'minion', meaning: 'Go back to the first server when it answers again.' }),
    master_failback_interval: number({
      default: 300,
      min: 0.1,
      unit: 's',
      for: 'minion',
      meaning: 'How often the first server is asked whether it is back.'
    }),
    master_ca: optionalPath({
      default: null,
      for: 'minion',
      meaning: "PEM file with the authorities that may have signed the server's certificate (https), instead of the system's."
    }),
    master_finger: text({
      default: '',
      for: 'minion',
      meaning:
        "SHA-256 fingerprint of the server's certificate or of its public key (https): no other server is talked to, whoever signed its certificate. " +
        'openssl x509 -noout -fingerprint -sha256 -in FILE prints it.'
    }),
    proxy_host: text({
      default: '',
      for: 'minion',
      meaning:
        "HTTP proxy on the way to the server. Empty: that of the environment (https_proxy, http_proxy, no_proxy). Never for this machine's own."
    }),
    proxy_port: integer({ default: 8080, min: 1, max: 65535, for: 'minion', meaning: 'Port of the proxy.' }),
    proxy_username: text({ default: '', for: 'minion', meaning: 'Name at the proxy, where it asks for one.' }),
    proxy_password: optionalText({ default: null, for: 'minion', secret: true, meaning: 'Password at the proxy.' }),
    no_proxy: texts({ default: [], for: 'minion', meaning: 'Hosts that are reached without the proxy: names, `.domain`, `*`.' }),
    minion_dir: optionalPath({
      default: null,
      for: 'minion',
      meaning: 'Where the minion keeps its key, its spool and its cache. null: DATA/minion, DATA being data_dir.',
      flag: '--dir <dir>'
    }),
    grains: mapping({ default: {}, for: 'minion', meaning: 'Grains of your own, laid over those that are found out.' }),
    autosign_grains: texts({
      default: [],
      for: 'minion',
      meaning: 'Grains that a new minion sends with its key, for autosign_grains_dir of the server.'
    }),
    enrolment_token: optionalText({
      default: null,
      for: 'minion',
      secret: true,
      meaning: 'One-time token of `brine key token`: the key is accepted at once. It counts once and is not needed afterwards.',
      flag: '--enrolment-token <token>'
    }),
    acceptance_wait_time: number({
      default: 10,
      min: 0.1,
      unit: 's',
      for: 'minion',
      meaning: 'Pause between two questions whether the key is accepted.'
    }),
    recon_default: integer({
      default: 1000,
      min: 10,
      unit: 'ms',
      for: 'minion',
      meaning: 'First pause before a lost connection is made again.'
    }),
    recon_max: integer({ default: 10_000, min: 10, unit: 'ms', for: 'minion', meaning: 'Longest such pause, jitter included.' }),
    minion_spool_bytes: integer({
      default: 256 * 1024 * 1024,
      min: 1024 * 1024,
      unit: 'bytes',
      for: 'minion',
      meaning: 'Disk that returns and events may take while the server is away. Beyond it the oldest events go first, returns last.'
    }),
    state_events: boolean({
      default: true,
      for: 'minion',
      meaning: 'Fire salt/job/<jid>/prog/<id>/<n> for each state that ran. Salt has it off by default.'
    }),
    file_client: choice({
      default: 'remote',
      choices: ['remote', 'local'],
      for: 'minion',
      meaning: 'local: files, states and pillar come from file_roots and pillar_roots of this machine (masterless).'
    }),
    saltenv: optionalText({
      default: null,
      for: 'minion',
      meaning: 'Environment of states and files when a call names none. null: all environments of the top file; base for files.'
    }),
    pillarenv: optionalText({ default: null, for: 'minion', meaning: "Only this environment's pillar. null: all environments." }),
    pillar: mapping({ default: {}, for: 'minion', meaning: 'Pillar of your own, below what the server has for this minion.' }),
    test: boolean({ default: false, for: 'minion', meaning: 'State runs only predict, unless they are called with test=False.' }),
    failhard: boolean({ default: false, for: 'minion', meaning: 'The first state that fails ends a state run.' }),
    cmd_safe: boolean({
      default: true,
      for: 'minion',
      meaning: 'Commands that other functions run use no shell unless they ask for one (python_shell). False: they do, as in old Salt.'
    }),
    process_count_max: integer({
      default: 16,
      min: 1,
      max: 1000,
      unit: 'processes',
      for: 'minion',
      meaning: 'Jobs that run in a process of their own at a time; further ones wait.'
    }),
    job_time_limit_seconds: integer({
      default: 86_400,
      unit: 's',
      for: 'minion',
      meaning: 'A job that runs longer is killed, whatever it does. 0: never.'
    }),
    job_memory_mib: integer({
      default: 512,
      min: 64,
      max: 65_536,
      unit: 'MiB',
      for: 'minion',
      meaning: "JavaScript memory of a job's own process; a job that needs more ends, and the minion goes on."
    }),
    minion_memory_mib: integer({
      default: 384,
      unit: 'MiB',
      for: 'minion',
      meaning:
        'Memory of the minion itself. Above it, it ends after its jobs, for the service manager to start it anew. 0: never. It needs about 70.'
    }),
    startup_states: choice({
      default: '',
      choices: ['', 'highstate', 'sls', 'top'],
      for: 'minion',
      meaning: "State run when the minion starts: highstate, sls (those of sls_list), top (a highstate too), or '' for none."
    }),
    sls_list: texts({ default: [], for: 'minion', meaning: 'SLS files of startup_states: sls.' }),
    schedule: mapping({
      default: {},
      for: 'minion',
      meaning: 'Jobs that the minion runs by itself. schedule.add and its like keep theirs in _schedule.conf beside the key.',
      example: `
schedule:
  highstate: {function: state.apply, minutes: 60, splay: 300}
  backup: {function: cmd.run, args: [/usr/local/bin/backup], cron: '0 3 * * *'}`
    }),
    beacons: mapping({
      default: {},
      for: 'minion',
      meaning:
        'What the minion watches, and tells as salt/beacon/<id>/<name>/…. beacons.add and its like last when beacons.save was called.',
      example: `
beacons:
  load: [{averages: {1m: [0.0, 2.0]}}, {onchangeonly: true}]
  inotify: [{files: {/etc/important: {mask: [modify]}}}, {disable_during_state_run: true}]`
    }),
    mine_enabled: boolean({ default: true, for: 'minion', meaning: 'Run mine_functions and send what they return.' }),
    mine_functions: mapping({
      default: {},
      for: 'minion',
      meaning:
        'Functions whose results other minions may ask for (mine.get): name → arguments, or alias → list that begins with mine_function.'
    }),
    mine_interval: number({ default: 60, min: 1, unit: 'min', for: 'minion', meaning: 'Minutes between two updates of the mine.' }),
    random_startup_delay: number({
      default: 0,
      max: 86_400,
      unit: 's',
      for: 'minion',
      meaning: 'The first connection waits a random time up to this, so that a whole site does not come at once.'
    }),
    grains_refresh_every: number({
      default: 0,
      unit: 'min',
      for: 'minion',
      meaning: 'Minutes after which grains are collected anew and sent when they changed. 0: only on request.'
    }),
    start_event_grains: texts({ default: [], for: 'minion', meaning: 'Grains that salt/minion/<id>/start carries.' })
  }
} as const

function readApiAcl(value: unknown): Read<{ readonly users: Readonly<Record<string, readonly string[]>> }> {
  if (!isMapping(value)) return fault(`must be a mapping, not ${kindOf(value)}`, value)
  const unknown = Object.keys(value).find(name => name !== 'users')
  if (unknown !== undefined) return fault(`has no '${unknown}'`, value)
  const users = lists({ default: {}, meaning: '' }).read(value.users ?? {})
  return 'value' in users ? { value: { users: users.value } } : users
}

type Flat<T> = { [K in keyof T]: T[K] } extends infer Groups ? UnionToIntersection<Groups[keyof Groups]> : never
type UnionToIntersection<U> = (U extends unknown ? (member: U) => void : never) extends (member: infer I) => void ? I : never
type Rows = Flat<typeof TABLE>

export type SettingName = keyof Rows

/** All settings with their values: what the rest of the program is given. Deeply unchanging. */
export type Config = { readonly [K in SettingName]: Rows[K] extends Setting<infer T> ? T : never }

/** The table, flat, in the order of the sample file; each row knows its group. */
export const SETTINGS: ReadonlyMap<SettingName, Setting<unknown>> = new Map(
  Object.entries(TABLE).flatMap(([group, rows]) =>
    Object.entries(rows).map(([name, row]) => [name as SettingName, { ...(row as Setting<unknown>), group }] as const)
  )
)

/** `keep_jobs_seconds` → `BRINE_KEEP_JOBS_SECONDS`, `auth.pam.service` → `BRINE_AUTH_PAM_SERVICE`. */
export function environmentName(name: string): string {
  return `BRINE_${name.toUpperCase().replaceAll('.', '_')}`
}

export function isSettingName(name: string): name is SettingName {
  return SETTINGS.has(name as SettingName)
}

/** The configuration without any file: defaults, with what `changes` says. For tests and programs that embed brine. */
export function defaultConfig(changes: Partial<Config> = {}): Config {
  const defaults = Object.fromEntries([...SETTINGS].map(([name, row]) => [name, row.default]))
  return { ...(defaults as unknown as Config), ...changes }
}
