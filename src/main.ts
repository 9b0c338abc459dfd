import { readFileSync } from 'node:fs'
import { configOfProcess, createLog, DomainError, systemClock } from './kernel/index.ts'
import { type RunningServer, startServer } from './server.ts'

/** sysexits.h: an input/output error, and a configuration that can't be used. */
const EXIT_IO = 74
const EXIT_CONFIG = 78

/** `npm start`: the whole product in one process. */
async function main(): Promise<void> {
  const config = configOfProcess()
  // Standard output has the few lines for people; the log goes to standard error.
  const log = createLog(config.logLevel, process.stderr)
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  const server = await startServer({
    config,
    clock: systemClock,
    log,
    version,
    onFatal: (error) => {
      log.fatal({ err: error }, 'the disk failed: stopping at once, since what was being written is unknown')
      process.exit(EXIT_IO)
    },
  })
  process.stdout.write(greeting(server, version))
  let stopping = false
  const stop = (signal: string) => {
    if (stopping) process.exit(1)
    stopping = true
    log.info({ signal }, 'stopping')
    server.close().then(
      () => process.exit(0),
      (error: unknown) => {
        log.error({ err: error }, 'stopping failed')
        process.exit(1)
      },
    )
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  // Only where there is a file to open again: else a terminal that is closed ends the server, as it always did.
  if (config.accessLog.startsWith('/') || config.tls) {
    process.on('SIGHUP', () => {
      server.reopenLogs().catch((error: unknown) => log.error({ err: error }, 'reopening the logs failed'))
      void server.reloadCertificate()
    })
  }
}

function greeting({ s3Url, apiUrl, rootKeyFile }: RunningServer, version: string): string {
  const key = rootKeyFile ? `kept in ${rootKeyFile}` : 'taken from SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY'
  return `Sluice ${version}
  S3 endpoint   ${s3Url}
  API           ${apiUrl}
  root key      ${key}

Try, in another terminal:
  eval "$(npx sluice env)"
  aws s3 mb s3://master.images
  npx sluice pipeline create -f examples/edges/pipeline.json

Ctrl-C stops it; nothing acknowledged is lost.
`
}

try {
  await main()
} catch (error) {
  const known = error instanceof DomainError
  process.stderr.write(`sluice: ${known ? error.message : ((error as Error)?.stack ?? String(error))}\n`)
  process.exit(error instanceof DomainError && error.code === 'InvalidConfig' ? EXIT_CONFIG : 1)
}
