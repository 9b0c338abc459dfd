/** The promise's value in a box if it comes within this time, else undefined; the promise goes on. Rejects as it does. */
export function settledWithin<T>(promise: Promise<T>, ms: number): Promise<{ readonly value: T } | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), ms)
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve({ value })
      },
      (error: unknown) => {
        clearTimeout(timer)
        reject(error)
      },
    )
  })
}
