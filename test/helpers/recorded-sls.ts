/** The SLS files that the recordings of golden/events were made with, as far as their results show them. */
export const RECORDED_SLS = {
  'top.sls': 'base:\n  "*":\n    - ok\n',
  'ok.sls': `
first:
  test.succeed_with_changes:
    - name: one
second:
  test.nop:
    - require:
      - test: first
third:
  cmd.run:
    - name: echo hi
    - onchanges:
      - test: first
`,
  'bad.sls': `
works:
  test.succeed_without_changes
breaks:
  test.fail_without_changes
needs:
  test.nop:
    - require:
      - test: breaks
onfail_handler:
  test.succeed_with_changes:
    - onfail:
      - test: breaks
cmdfail:
  cmd.run:
    - name: exit 7
`,
  'fire.sls': `
fires_default:
  test.succeed_with_changes:
    - fire_event: True
fires_custom:
  test.nop:
    - fire_event: custom/tag/nginx
custom_event_state:
  event.send:
    - name: myco/deploy/done
    - data:
        version: 1.2
        list: [1, two]
wait_evt:
  event.wait:
    - name: myco/deploy/wait
    - data: {why: changed}
    - watch:
      - test: fires_default
`,
  'empty.sls': ''
}
