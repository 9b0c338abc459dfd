import type { Command } from 'commander'
import type { VersionJson } from '../../api/contract.ts'
import { errorMessage, rootKeyFile } from '../../kernel/index.ts'
import { findRootKey, findWritten } from '../credentials.ts'
import { CliError } from '../errors.ts'
import { shellWord } from '../format.ts'
import { writeProfile } from '../profile.ts'
import { type JsonOption, note, print, printJson, type Session, withJson } from '../session.ts'

export function addEnvCommand(program: Command, session: Session): void {
  withJson(program.command('env'))
    .summary("print the server's root key and addresses as shell exports")
    .description(
      'Print the root key and the addresses of the server whose data folder this is (SLUICE_DATA, or ./data), as shell exports: ' +
        'eval "$(npx sluice env)". The server need not be running.',
    )
    .option('--profile <name>', 'write them into this profile of ~/.aws instead')
    .action(async (options: JsonOption & { profile?: string }) => {
      const values = await readEnvironment(session)
      if (options.profile !== undefined) {
        const files = await writeProfile(session.config, options.profile, values)
        return note(session, `profile ${options.profile} written to ${files.join(' and ')}`)
      }
      if (options.json) return printJson(session, values)
      for (const [name, value] of Object.entries(values)) print(session, `export ${name}=${shellWord(value)}\n`)
      // That of another key would make this one invalid.
      if (session.config.awsKey?.sessionToken) print(session, 'unset AWS_SESSION_TOKEN\n')
    })
}

async function readEnvironment(session: Session): Promise<Record<string, string>> {
  const { config } = session
  const key = await findRootKey(config)
  if (key === undefined) {
    throw new CliError(
      `there is no ${rootKeyFile(config.dataFolder)}: start the server once with npm start (it makes the key), or set SLUICE_DATA to its data folder`,
    )
  }
  // What this folder's server wrote goes before the environment, which may still be that of another server.
  const { s3Url, apiUrl = config.apiUrl ?? config.defaultApiUrl } = await findWritten(config)
  const elsewhere = apiUrl !== config.defaultApiUrl || config.apiUrl !== undefined
  return {
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    AWS_ENDPOINT_URL: s3Url,
    AWS_REGION: config.region,
    AWS_DEFAULT_REGION: config.region,
    ...(config.caFile !== undefined && s3Url.startsWith('https:') && { AWS_CA_BUNDLE: config.caFile }),
    ...(elsewhere && { SLUICE_API_URL: apiUrl }),
  }
}

export function addVersionCommand(program: Command, session: Session, version: string): void {
  withJson(program.command('version').description('show the versions of this command and of the server')).action(
    async (options: JsonOption) => {
      const { url, server, why } = await askServer(session)
      if (options.json) return printJson(session, { version, server: server ?? null, url: url ?? null })
      print(session, `sluice ${version}\n`)
      print(session, server === undefined ? `server: not reached (${why})\n` : `server ${server} at ${url}\n`)
    },
  )
}

async function askServer(session: Session): Promise<{ url?: string; server?: string; why?: string }> {
  try {
    const api = await session.api()
    return { url: api.url, server: (await api.get<VersionJson>('/v1/version')).version }
  } catch (error) {
    // A client without a server still has a version to tell; the reason is shown beside it.
    return { why: errorMessage(error) }
  }
}
