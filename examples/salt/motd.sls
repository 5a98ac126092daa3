# state.apply motd pillar='{"text": "hello"}'
motd-file:
  file.managed:
    - name: /tmp/brine-motd
    - contents: {{ pillar.get('text', 'hello from brine') | yaml_dquote }}

motd-shown:
  cmd.run:
    - name: cat /tmp/brine-motd
    - onchanges:
      - file: motd-file
