/** Paths as jobs write them, each with the scratch folder it is in. */
export const scratchFolderCases: readonly (readonly [path: string, area: string | undefined])[] = [
  ['t/_temporary/0/_temporary/attempt_1/part-0', 't/_temporary/'],
  ['_temporary/0/', '_temporary/'],
  ['_temporary/', '_temporary/'],
  ['t/_temporary/manifest_1/tasks/task.json', 't/_temporary/'],
  ['t/__magic/job-1/tasks/part-0.pending', 't/__magic/'],
  ['t/__magic_job-0f9a/tasks/attempt_1/__base/part-0', 't/__magic_job-0f9a/'],
  ['t/.spark-staging-5c1/day=1/part-0', 't/.spark-staging-5c1/'],
  ['t/day=1/.hive-staging_hive_2026-11-20/-ext-10000/part-0', 't/day=1/.hive-staging_hive_2026-11-20/'],
  ['_temporary', undefined],
  ['t/_temporary', undefined],
  ['t/my_temporary/a', undefined],
  ['t/_temporary2/a', undefined],
  ['t/__magic_joke/a', undefined],
  ['t/_SUCCESS', undefined],
  ['t/spark-staging-1/a', undefined],
]
