/** The thread in which the server compiles pillars, so that no template ever holds up a request. */
import { parentPort, workerData } from 'node:worker_threads'
import { PillarCompiler, type PillarRequest, type PillarSettings } from './compile.js'

export interface Ask {
  readonly number: number
  readonly request: PillarRequest
}

const compiler = new PillarCompiler(workerData as PillarSettings)

parentPort!.on('message', ({ number, request }: Ask) => {
  parentPort!.postMessage({ number, compiled: compiler.compile(request) })
})
