# Tells every minion how a build ended.
announce-build:
  local.test.echo:
    - tgt: '*'
    - arg:
      - 'build finished: {{ data.post.status | default("unknown") }}'
