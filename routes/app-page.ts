import { createHash } from 'node:crypto'

const SCRIPT = `
const list = document.querySelector('#events')
const state = document.querySelector('#state')
let source = null
document.querySelector('form').addEventListener('submit', event => {
  event.preventDefault()
  if (source) source.close()
  const token = document.querySelector('#token').value.trim()
  const url = new URL('events', new URL('.', location.href))
  url.searchParams.set('token', token)
  source = new EventSource(url)
  source.onopen = () => { state.textContent = 'connected' }
  source.onerror = () => { state.textContent = 'not connected; is the token good?' }
  source.onmessage = message => {
    const { tag, data } = JSON.parse(message.data)
    const row = document.createElement('li')
    const name = document.createElement('b')
    name.textContent = tag
    const text = document.createElement('pre')
    text.textContent = JSON.stringify(data, null, 2)
    row.append(name, text)
    list.prepend(row)
    while (list.children.length > 200) list.lastChild.remove()
  }
})
`

const STYLE = `
body { font: 15px/1.4 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
form { display: flex; gap: .5rem }
input { flex: 1 }
pre { background: #8881; overflow: auto; padding: .5rem }
ul { padding-left: 1rem }
`

/** What is at /app as long as no GUI is installed there: events as they happen. The token stays in the page. */
export const APP_PAGE = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>brine</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Events</h1>
<p>Paste a token: of <code>POST /login</code>, or better a ticket of <code>POST /events/ticket</code>.</p>
<form>
<input id="token" type="password" autocomplete="off" aria-label="Token" required>
<button>Watch</button>
</form>
<p id="state" role="status">not connected</p>
<ul id="events"></ul>
<script>${SCRIPT}</script>
</body>
</html>
`

const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** This page runs its own script and asks its own server, and nothing else. */
export const APP_POLICY = `default-src 'none'; script-src ${hashOf(SCRIPT)}; style-src ${hashOf(STYLE)}; connect-src 'self'; frame-ancestors 'none'`
