# Applies the state salt/motd.sls with the text that was posted.
write-motd:
  local.state.apply:
    - tgt: '*'
    - arg:
      - motd
    - kwarg:
        pillar:
          text: {{ data.post.text | default('hello from brine') }}
