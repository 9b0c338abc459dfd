import { flush } from '../control/flush.ts'
import { type Route, routes, subresources } from './aws-routes.ts'
import { S3Error } from './codes.ts'
import type { Level, Operation } from './operation.ts'
import { abortMultipartUpload } from './operations/abort-multipart-upload.ts'
import { completeMultipartUpload } from './operations/complete-multipart-upload.ts'
import { copyObject } from './operations/copy-object.ts'
import { createBucket } from './operations/create-bucket.ts'
import { createMultipartUpload } from './operations/create-multipart-upload.ts'
import { deleteBucket } from './operations/delete-bucket.ts'
import { deleteBucketCors } from './operations/delete-bucket-cors.ts'
import { deleteBucketTagging } from './operations/delete-bucket-tagging.ts'
import { deleteObject } from './operations/delete-object.ts'
import { deleteObjectTagging } from './operations/delete-object-tagging.ts'
import { deleteObjects } from './operations/delete-objects.ts'
import { getBucketAcl } from './operations/get-bucket-acl.ts'
import { getBucketCors } from './operations/get-bucket-cors.ts'
import { getBucketLocation } from './operations/get-bucket-location.ts'
import { getBucketTagging } from './operations/get-bucket-tagging.ts'
import { getBucketVersioning } from './operations/get-bucket-versioning.ts'
import { getObject } from './operations/get-object.ts'
import { getObjectAcl } from './operations/get-object-acl.ts'
import { getObjectAttributes } from './operations/get-object-attributes.ts'
import { getObjectTagging } from './operations/get-object-tagging.ts'
import { headBucket } from './operations/head-bucket.ts'
import { headObject } from './operations/head-object.ts'
import { listBuckets } from './operations/list-buckets.ts'
import { listMultipartUploads } from './operations/list-multipart-uploads.ts'
import { listObjectVersions } from './operations/list-object-versions.ts'
import { listObjects } from './operations/list-objects.ts'
import { listObjectsV2 } from './operations/list-objects-v2.ts'
import { listParts } from './operations/list-parts.ts'
import { notConfigured } from './operations/not-configured.ts'
import { putBucketAcl } from './operations/put-bucket-acl.ts'
import { putBucketCors } from './operations/put-bucket-cors.ts'
import { putBucketTagging } from './operations/put-bucket-tagging.ts'
import { putBucketVersioning } from './operations/put-bucket-versioning.ts'
import { putObject } from './operations/put-object.ts'
import { putObjectAcl } from './operations/put-object-acl.ts'
import { putObjectTagging } from './operations/put-object-tagging.ts'
import { renameObject } from './operations/rename-object.ts'
import { uploadPart } from './operations/upload-part.ts'
import { uploadPartCopy } from './operations/upload-part-copy.ts'
import type { S3Request } from './request.ts'

const implemented: readonly Operation[] = [
  abortMultipartUpload,
  completeMultipartUpload,
  copyObject,
  createBucket,
  createMultipartUpload,
  deleteBucket,
  deleteBucketCors,
  deleteBucketTagging,
  deleteObject,
  deleteObjectTagging,
  deleteObjects,
  flush,
  getBucketAcl,
  getBucketCors,
  getBucketLocation,
  getBucketTagging,
  getBucketVersioning,
  getObject,
  getObjectAcl,
  getObjectAttributes,
  getObjectTagging,
  headBucket,
  headObject,
  listBuckets,
  listMultipartUploads,
  listObjectVersions,
  listObjects,
  listObjectsV2,
  listParts,
  ...notConfigured,
  putBucketAcl,
  putBucketCors,
  putBucketTagging,
  putBucketVersioning,
  putObject,
  putObjectAcl,
  putObjectTagging,
  renameObject,
  uploadPart,
  uploadPartCopy,
]

/** A request that AWS documents, and what answers it here. */
export interface RegisteredRoute extends Route {
  /** Undefined: AWS has it, and this gateway answers 501. */
  readonly operation: Operation | undefined
}

/** Every operation that AWS has (and ours), each with what implements it. The compatibility table is made from this. */
export const registry: readonly RegisteredRoute[] = joinRoutes()

/** The most particular route first: more parameters, then a header. */
const byPlace: ReadonlyMap<string, readonly RegisteredRoute[]> = groupByPlace()

function joinRoutes(): RegisteredRoute[] {
  const byName = new Map(implemented.map((operation) => [operation.name, operation]))
  return routes.map((route) => ({ ...route, operation: byName.get(route.name) }))
}

function groupByPlace(): Map<string, RegisteredRoute[]> {
  const places = new Map<string, RegisteredRoute[]>()
  for (const route of registry) {
    const place = placeOf(route.on, route.method)
    const known = places.get(place)
    if (known) known.push(route)
    else places.set(place, [route])
  }
  for (const list of places.values()) list.sort((a, b) => weight(b) - weight(a))
  return places
}

function placeOf(on: Level, method: string): string {
  return `${on} ${method}`
}

function weight(route: Route): number {
  return Object.keys(route.parameters).length * 2 + (route.header === undefined ? 0 : 1)
}

/** Whether the request is to the service, a bucket or an object. */
export function levelOf(request: Pick<S3Request, 'method' | 'path' | 'bucketName' | 'keyText'>): Level {
  if (request.path === '/' && request.bucketName === '') return 'service'
  // The one operation whose path is no bucket.
  if (request.method === 'POST' && request.bucketName === 'WriteGetObjectResponse') return 'service'
  return request.keyText === '' ? 'bucket' : 'object'
}

/**
 * The operation that a request means. A parameter that asks for something else is never dropped: NotImplemented instead, so that
 * `PUT ?tagging` can't overwrite the object. Throws S3Error MethodNotAllowed, NotImplemented.
 */
export function findRoute(request: S3Request): RegisteredRoute & { readonly operation: Operation } {
  const { method, query, headers } = request
  const on = levelOf(request)
  const candidates = byPlace.get(placeOf(on, method))
  const route = candidates?.find((candidate) => matches(candidate, query, headers))
  if (!route) {
    throw new S3Error('MethodNotAllowed', 'The specified method is not allowed against this resource.', {
      Method: method.slice(0, 20),
      ResourceType: on.toUpperCase(),
    })
  }
  const { operation } = route
  if (!operation) {
    throw new S3Error('NotImplemented', `${route.name} is not implemented`, { Operation: route.name })
  }
  if (query.size > 0) refuseOtherParameters(route, operation, request)
  return { ...route, operation }
}

function matches(route: Route, query: S3Request['query'], headers: S3Request['headers']): boolean {
  if (route.header !== undefined && headers[route.header] === undefined) return false
  for (const name in route.parameters) {
    const wanted = route.parameters[name]
    const value = query.get(name)
    if (value === undefined || (wanted !== true && value !== wanted)) return false
  }
  return true
}

function refuseOtherParameters(route: Route, operation: Operation, { method, query }: S3Request): void {
  const reads = method === 'GET' || method === 'HEAD'
  for (const [name, value] of query) {
    // What the JS SDK adds to say which operation it means.
    if (name === 'x-id' || Object.hasOwn(route.parameters, name) || operation.parameters.includes(name)) continue
    // A read may carry what means nothing here (somebody's cache breaker), as with AWS; a name alone is a subresource.
    if (reads && value !== '' && !subresources.has(name)) continue
    throw new S3Error('NotImplemented', `${route.name} with the parameter ${name} is not implemented`, {
      Operation: route.name,
      Parameter: name.slice(0, 255),
    })
  }
}
