import { LINES_TYPE, MAX_JSON_BYTES } from './contract.ts'
import type { Fields, JsonSchema } from './fields.ts'
import type { Route, RouteAnswer } from './route.ts'
import { type ShapeName, shapes } from './shapes.ts'

/** The OpenAPI 3.1 document of a table of routes. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, '{$1}')
    paths[path] ??= {}
    paths[path][route.method.toLowerCase()] = operation(route)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sluice',
      version,
      description: [
        'Requests are signed with AWS Signature Version 4 by header (service `s3`), with the keys of the S3 endpoint.',
        `A JSON body is at most ${MAX_JSON_BYTES} bytes and its hash must be signed. Unknown fields are refused.`,
        `Answers of type \`${LINES_TYPE}\` are JSON lines; empty lines keep the connection alive and are to be skipped;`,
        'a line `{"error": …}` ends a stream that could not go on.',
      ].join(' '),
    },
    paths,
    components: {
      schemas: shapes,
      securitySchemes: {
        sigv4: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'AWS Signature Version 4' },
        bearer: { type: 'http', scheme: 'bearer', description: 'SLUICE_METRICS_TOKEN, where it is set' },
      },
    },
  }
}

function operation(route: Route): object {
  const failure = { description: 'Refused or failed.', content: jsonContent(refTo('Error')) }
  return {
    summary: route.summary,
    operationId: operationId(route),
    security: route.needs === 'none' ? [] : [{ sigv4: [] }, ...(route.token ? [{ bearer: [] }] : [])],
    parameters: [...parameters(route.params, 'path'), ...parameters(route.query, 'query')],
    ...requestBody(route),
    responses: { ...success(route.answer), default: failure },
  }
}

/** `GET /v1/repos/:repo/branches` is `get_repos_repo_branches`. */
function operationId(route: Route): string {
  const words = route.path.replace(/^\/v1/, '').match(/\w+/g) ?? []
  return [route.method.toLowerCase(), ...words].join('_')
}

function parameters(fields: Fields, where: 'path' | 'query'): object[] {
  return Object.entries(fields).map(([name, field]) => {
    const { description, ...schema } = field.schema
    return { name, in: where, required: field.required, description, schema }
  })
}

function requestBody(route: Route): object {
  if (route.body === 'none') return {}
  return { requestBody: { required: true, content: bodyContent(route.body) } }
}

function bodyContent(body: Exclude<Route['body'], 'none'>): object {
  if (body === 'content') return { '*/*': { schema: { type: 'string', format: 'binary' } } }
  if (body === 'json') return jsonContent({})
  const names = Object.entries(body)
  return jsonContent({
    type: 'object',
    properties: Object.fromEntries(names.map(([name, field]) => [name, field.schema])),
    required: names.filter(([, field]) => field.required).map(([name]) => name),
    additionalProperties: false,
  })
}

function success(answer: RouteAnswer): object {
  switch (answer.kind) {
    case 'json': {
      const schema = answer.list ? { type: 'array', items: refTo(answer.shape) } : refTo(answer.shape)
      const done = { [answer.status]: { description: 'Done.', content: jsonContent(schema) } }
      if (answer.progress === undefined) return done
      const lines = { [LINES_TYPE]: { schema: { oneOf: [refTo(answer.progress), schema] } } }
      // Lines begin before it is known what was made: their status is 200.
      const both = answer.status === 200 ? { ...jsonContent(schema), ...lines } : lines
      return { ...done, 200: { description: 'Done; or on the way, one per line.', content: both } }
    }
    case 'text':
      return { 200: { description: 'The text.', content: { [answer.type]: {} } } }
    case 'empty':
      return { 204: { description: 'Done.' } }
    case 'lines':
      return { 200: { description: 'One per line.', content: { [LINES_TYPE]: { schema: refTo(answer.shape) } } } }
    case 'content':
      return { 200: { description: 'The bytes.', content: { 'application/octet-stream': {} } } }
  }
}

const refTo = (shape: ShapeName): JsonSchema => ({ $ref: `#/components/schemas/${shape}` })
const jsonContent = (schema: JsonSchema): object => ({ 'application/json': { schema } })
