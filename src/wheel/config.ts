import { applySetting, writeApplied } from '../config/applied.js'
import { shownConfig } from '../runners/config.js'
import { param, type ServerFunction, serverFunction } from '../runners/function.js'

/** The wheel's functions for the configuration. */
export const configWheel: readonly ServerFunction[] = [
  serverFunction({
    name: 'config.values',
    doc: 'Show all settings. Secrets are masked.',
    run: ({ config }) => shownConfig(config)
  }),
  serverFunction({
    name: 'config.apply',
    doc: 'Set one setting, from the next start on. It is written to config.d/applied.conf in the data directory.',
    params: { key: param.text(), value: param.any() },
    run({ config }, { key, value }) {
      const reason = applySetting(config.data_dir, key, value)
      if (reason !== null) throw new Error(reason)
      return null
    }
  }),
  serverFunction({
    name: 'config.update_config',
    doc: `Write settings (a mapping) to config.d/NAME.conf in the data directory; they apply from the next start on. What is no setting is
refused as a whole. Returns a text that says what was done.`,
    params: { file_name: param.text(), yaml_contents: param.any() },
    run: ({ config }, { file_name, yaml_contents }) => writeApplied(config.data_dir, file_name, yaml_contents) ?? `Wrote ${file_name}.conf`
  })
]
