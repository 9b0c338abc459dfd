/** The server, with one thing that goes wrong: `FAULT=point:passage:kind`. */
import { armFaults, FAULT_POINTS, type FaultKind, type FaultPoint } from '../../src/kernel/index.ts'

const [point = '', passage, kind = ''] = (process.env['FAULT'] ?? '').split(':')
if (!(point in FAULT_POINTS)) throw new Error(`there is no fault point ${JSON.stringify(point)}`)
armFaults({ point: point as FaultPoint, passage: Number(passage), kind: kind as FaultKind })
await import('../../src/main.ts')
