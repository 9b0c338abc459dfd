import { describeStep, type Recorder, type Violation } from './history.ts'
import { checkKey } from './linearizable.ts'

/** Every promise that the recorded history breaks. */
export function violationsOf(recorder: Recorder): readonly Violation[] {
  const found = [...recorder.violations]
  for (const [key, steps] of recorder.byKey()) {
    const verdict = checkKey(steps)
    if (verdict.kind === 'linearizable') continue
    const around =
      verdict.kind === 'violated' ? verdict.around.map(describeStep).join('\n  ') : 'too many orders to try'
    found.push(`${key}: no order of its ${steps.length} steps explains the answers; near\n  ${around}`)
  }
  return found
}
