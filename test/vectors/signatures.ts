import type { Signature, SignatureOf } from '../../src/reactor/parse.js'

/**
 * Parameters of Salt's runner and wheel functions, as its documentation lists them: the recordings were made with these, brine's own functions
 * are fewer. `*` and `**` stand for any arguments.
 */
const RUNNERS: Record<string, string> = {
  'cache.grains': 'tgt=None tgt_type=glob **',
  'cloud.action': 'func=None cloudmap=None instances=None provider=None instance=None opts=None **',
  'cloud.create': 'provider instances opts=None **',
  'cloud.destroy': 'instances opts=None **',
  'cloud.profile': 'prof=None instances=None opts=None **',
  'error.error': 'name=None message=',
  'event.send': 'tag data=None',
  'http.query': 'url output=True **',
  'jobs.active': 'display_progress=False',
  'jobs.list_job': 'jid ext_source=None display_progress=False',
  'jobs.list_jobs':
    'ext_source=None outputter=None search_metadata=None search_function=None search_target=None start_time=None end_time=None display_progress=False',
  'jobs.lookup_jid': 'jid ext_source=None returned=True missing=False display_progress=False',
  'jobs.print_job': 'jid ext_source=None display_progress=False',
  'manage.down': 'removekeys=False tgt=* tgt_type=glob timeout=None gather_job_timeout=None',
  'manage.present': 'subset=None show_ip=False',
  'manage.status': 'output=True tgt=* tgt_type=glob timeout=None gather_job_timeout=None',
  'manage.up': 'tgt=* tgt_type=glob timeout=None gather_job_timeout=None',
  'mine.get': 'tgt fun tgt_type=glob',
  'pillar.show_pillar': 'minion=* **',
  'salt.cmd': 'fun * **',
  'salt.execute': 'tgt fun arg=() timeout=None tgt_type=glob ret= jid= kwarg=None **',
  'saltutil.sync_all': 'saltenv=base extmod_whitelist=None extmod_blacklist=None',
  'state.event': 'tagmatch=* count=-1 quiet=False sock_dir=None pretty=False node=master',
  'state.orch': 'mods saltenv=base test=None exclude=None pillar=None pillarenv=None pillar_enc=None orchestration_jid=None',
  'state.orchestrate': 'mods saltenv=base test=None exclude=None pillar=None pillarenv=None pillar_enc=None orchestration_jid=None',
  'survey.hash': '* **',
  'test.arg': '* **',
  'test.sleep': 's_time=10',
  'test.stream': ''
}

const WHEEL: Record<string, string> = {
  'config.apply': 'key value',
  'config.update_config': 'file_name yaml_contents',
  'config.values': '',
  'error.error': 'name=None message=',
  'file_roots.write': 'data path saltenv=base index=0',
  'key.accept': 'match include_rejected=False include_denied=False',
  'key.accept_dict': 'match include_rejected=False include_denied=False',
  'key.delete': 'match',
  'key.delete_dict': 'match',
  'key.finger': 'match hash_type=None',
  'key.gen': 'id_=None keysize=2048',
  'key.gen_accept': 'id_ keysize=2048 force=False',
  'key.key_str': 'match',
  'key.list': 'match',
  'key.list_all': '',
  'key.reject': 'match include_accepted=False include_denied=False',
  'minions.connected': ''
}

export const saltSignature: SignatureOf = (client, fun) => {
  const text = (client === 'runner' ? RUNNERS : WHEEL)[fun]
  return text === undefined ? null : readSignature(text)
}

function readSignature(text: string): Signature {
  const words = text.split(' ').filter(Boolean)
  const optional = words.filter(word => word.includes('=')).map(word => word.split('=') as [string, string])
  return {
    required: words.filter(word => !word.includes('=') && !word.startsWith('*')),
    optional: Object.fromEntries(optional.map(([name, value]) => [name, fallback(value)])),
    takesArgs: words.includes('*'),
    takesKwargs: words.includes('**')
  }
}

function fallback(text: string): unknown {
  if (text === 'None') return null
  if (text === 'True' || text === 'False') return text === 'True'
  if (text === '()') return []
  return /^-?\d+$/.test(text) ? Number(text) : text
}
