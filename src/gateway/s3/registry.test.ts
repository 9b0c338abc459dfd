import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import * as sdk from '@aws-sdk/client-s3'
import { routes } from './aws-routes.ts'
import { findRoute, registry } from './registry.ts'
import type { S3Request } from './request.ts'

/** Ours, and what AWS documents but the SDK has no command for. */
const besides = ['Flush', 'Preflight', 'PostObject']

function request(method: string, target: string, headers: Record<string, string> = {}): S3Request {
  const [path = '/', query = ''] = target.split('?')
  const [, bucketName = '', ...key] = path.split('/')
  return {
    id: '1',
    method,
    path,
    bucketName,
    keyText: key.join('/'),
    query: new Map(new URLSearchParams(query)),
    headers,
  }
}

/** What the request means: the operation's name, or the refusal's code and the operation that it names. */
function routed(method: string, target: string, headers?: Record<string, string>): string {
  try {
    return findRoute(request(method, target, headers)).operation.name
  } catch (error) {
    const { code, fields } = error as { code: string; fields: Record<string, string> }
    return `${code} ${fields['Operation'] ?? ''}`.trim()
  }
}

/** The request of each of the SDK's commands, as the SDK's own schema has it: `["PUT", "/{Key+}?tagging", 200]`. */
function sdkRequests(): Map<string, readonly [method: string, target: string]> {
  const found = new Map<string, readonly [string, string]>()
  for (const [name, schema] of Object.entries(sdk)) {
    if (!name.endsWith('$') || !Array.isArray(schema)) continue
    const traits = (schema as readonly unknown[]).find(
      (item): item is { http: readonly [string, string, number] } =>
        typeof item === 'object' && item !== null && 'http' in item,
    )
    if (traits) found.set(name.slice(0, -1), [traits.http[0], traits.http[1]])
  }
  return found
}

describe('the registry', () => {
  const commands = Object.keys(sdk)
    .filter((name) => name.endsWith('Command') && name !== '$Command')
    .map((name) => name.slice(0, -'Command'.length))

  it('has every operation that AWS has, and no other but ours', () => {
    assert.ok(commands.length > 100)
    const names = new Set(registry.map(({ name }) => name))
    assert.deepEqual(
      commands.filter((name) => !names.has(name)),
      [],
    )
    assert.deepEqual(
      [...names].filter((name) => !commands.includes(name) && !besides.includes(name)),
      [],
    )
  })

  it('takes each request of the AWS SDK for the operation that the SDK means, or refuses it by that name', () => {
    const requests = sdkRequests()
    assert.equal(requests.size, commands.length)
    for (const [name, [method, template]] of requests) {
      const onService = ['ListBuckets', 'ListDirectoryBuckets', 'WriteGetObjectResponse'].includes(name)
      const path = template.replace('{Key+}', 'key')
      const target = onService ? path : `/bucket${path === '/' ? '' : path}`
      const parameters: Record<string, string> = {
        ListParts: 'uploadId=1',
        AbortMultipartUpload: 'uploadId=1',
        CompleteMultipartUpload: 'uploadId=1',
        UploadPart: 'partNumber=1&uploadId=1',
        UploadPartCopy: 'partNumber=1&uploadId=1',
      }
      const extra = parameters[name]
      const full = extra === undefined ? target : `${target}${target.includes('?') ? '&' : '?'}${extra}`
      const headers: Record<string, string> = /Copy/.test(name) ? { 'x-amz-copy-source': '/a/b' } : {}
      const implemented = registry.find((route) => route.name === name)?.operation
      assert.equal(routed(method, full, headers), implemented ? name : `NotImplemented ${name}`, `${method} ${full}`)
    }
  })

  it('has an implementation or an explicit 501 for each, on the level that the route says', () => {
    for (const { name, on, operation } of registry) {
      if (operation) assert.deepEqual([operation.name, operation.on], [name, on])
    }
  })

  it('never lets a subresource fall through to the operation without it', () => {
    const plain = new Set(routes.filter((route) => Object.keys(route.parameters).length === 0).map(({ name }) => name))
    const names = new Set(routes.flatMap((route) => Object.keys(route.parameters)).filter((name) => name !== 'x-id'))
    for (const level of ['/bucket', '/bucket/key']) {
      for (const method of ['GET', 'HEAD', 'PUT', 'POST', 'DELETE']) {
        const reads = method === 'GET' || method === 'HEAD'
        for (const name of [...names, 'somethingNew', 'acl&policy', 'tagging&x-id=PutObject', 'versionId=1&tagging']) {
          for (const suffix of ['', '=', '=x']) {
            const meant = routed(method, `${level}?${name}${suffix}`)
            const mayPass = reads && ((suffix === '=x' && name === 'somethingNew') || name === 'partNumber')
            assert.ok(mayPass || !plain.has(meant), `${method} ${level}?${name}${suffix} became ${meant}`)
          }
        }
      }
    }
  })

  it('takes the more particular of two: a copy is no put, a part is no object', () => {
    assert.equal(routed('PUT', '/b/k', { 'x-amz-copy-source': '' }), 'CopyObject')
    assert.equal(routed('PUT', '/b/k?partNumber=1&uploadId=2'), 'UploadPart')
    assert.equal(routed('PUT', '/b/k?partNumber=1&uploadId=2', { 'x-amz-copy-source': 'a/b' }), 'UploadPartCopy')
    assert.equal(routed('PUT', '/b/k?partNumber=1'), 'NotImplemented PutObject')
    assert.equal(routed('PUT', '/b/k?uploadId=1'), 'NotImplemented PutObject')
    assert.equal(routed('GET', '/b?list-type=2&prefix=a'), 'ListObjectsV2')
    assert.equal(routed('GET', '/b/?prefix=a&x-id=ListObjects'), 'ListObjects')
    assert.equal(routed('GET', '/b?flush='), 'Flush')
    assert.equal(routed('POST', '/b?flush=abc&timeout=3'), 'Flush')
  })

  it('lets a read carry a parameter with a value that means nothing, and a write none', () => {
    assert.equal(routed('GET', '/b/k?cache=1'), 'GetObject')
    assert.equal(routed('PUT', '/b/k?cache=1'), 'NotImplemented PutObject')
    assert.equal(routed('DELETE', '/b/k?cache=1'), 'NotImplemented DeleteObject')
    assert.equal(routed('GET', '/b/k?cache'), 'NotImplemented GetObject')
  })

  it('refuses methods that S3 does not have', () => {
    assert.equal(routed('PATCH', '/b/k'), 'MethodNotAllowed')
    assert.equal(routed('PUT', '/'), 'MethodNotAllowed')
    assert.equal(routed('POST', '/b/k'), 'MethodNotAllowed')
    assert.equal(routed('OPTIONS', '/b/k'), 'NotImplemented Preflight')
  })
})
