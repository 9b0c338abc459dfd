export { parseSpec } from './parse.ts'
export {
  describeInput,
  environmentName,
  type Input,
  leavesOf,
  type PfsInput,
  type Spec,
  specToJson,
  type Transform,
} from './spec.ts'
