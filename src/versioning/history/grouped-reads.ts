/** Groups under way at once: while one is answered the next is already being looked up. */
const MAX_UNDER_WAY = 2
/** Questions in one statement. */
const MAX_GROUP = 128

interface Waiting<Question, Answer> {
  readonly question: Question
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/**
 * Asks a database many small questions in few statements, as group commit does for writes: a lone question goes at once, and what
 * comes while others are under way goes together with the next. A statement costs a hand-over to another thread and back, which is
 * more than the look-up itself.
 */
export class GroupedReads<Question, Answer> {
  readonly #ask: (questions: readonly Question[]) => Promise<readonly Answer[]>
  #waiting: Waiting<Question, Answer>[] = []
  #underWay = 0

  /** `ask` answers every question, in their order. */
  constructor(ask: (questions: readonly Question[]) => Promise<readonly Answer[]>) {
    this.#ask = ask
  }

  ask(question: Question): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject })
      if (this.#underWay < MAX_UNDER_WAY) void this.#run()
    })
  }

  async #run(): Promise<void> {
    this.#underWay++
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, MAX_GROUP)
      try {
        const answers = await this.#ask(group.map((waiting) => waiting.question))
        for (const [index, waiting] of group.entries()) waiting.resolve(answers[index]!)
      } catch (error) {
        for (const waiting of group) waiting.reject(error)
      }
    }
    this.#underWay--
  }
}
