export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
export { type RegisteredRoute, registry } from './s3/registry.ts'
