import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { TlsFiles } from '../tls.ts'

/** Why no certificates can be made here, or false. Node can read them, and make none. */
export const withoutOpenssl: string | false =
  spawnSync('openssl', ['version']).error === undefined
    ? false
    : 'openssl, which makes the certificates, is not installed'

/** A certificate of this name for 127.0.0.1, signed by itself, and its key. */
export async function makeCertificate(folder: string, name: string): Promise<TlsFiles> {
  const certFile = join(folder, `${name}.crt`)
  const keyFile = join(folder, `${name}.key`)
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2']
  await promisify(execFile)('openssl', ['req', '-x509', ...kind, '-keyout', keyFile, '-out', certFile, ...subject])
  return { certFile, keyFile }
}
