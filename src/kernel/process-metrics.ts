import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Metrics, Sample } from './metrics.ts'

/** The event loop is looked at so often; finer would cost more than it tells. */
const LAG_RESOLUTION_MS = 20

/** What every process has: CPU, memory, and how late its event loop is. Returns how to stop measuring. */
export function measureProcess(metrics: Metrics): () => void {
  const startedSeconds = Math.floor(Date.now() / 1000 - process.uptime())
  metrics.read('process_start_time_seconds', 'When the process started, in seconds since 1970.', () => startedSeconds)
  metrics.read(
    'process_cpu_seconds_total',
    'CPU time of all threads of the process.',
    () => {
      const { user, system } = process.cpuUsage()
      return (user + system) / 1e6
    },
    { type: 'counter' },
  )
  metrics.read('process_resident_memory_bytes', 'Resident memory of the process.', () => process.memoryUsage.rss())
  metrics.read(
    'sluice_memory_bytes',
    'Memory that the main thread has taken, by what for.',
    (): Sample[] => {
      const { heapUsed, heapTotal, external, arrayBuffers } = process.memoryUsage()
      return [
        [['heap_used'], heapUsed],
        [['heap_total'], heapTotal],
        [['external'], external],
        [['array_buffers'], arrayBuffers],
      ]
    },
    { labels: ['kind'] },
  )
  const lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
  lag.enable()
  metrics.read(
    'sluice_event_loop_delay_seconds',
    'How late the event loop was since the last scrape, by quantile.',
    (): Sample[] => {
      // Before the first look at it there is nothing, which Node says as NaN or as the largest number it has.
      const seconds = (ns: number) => (lag.count === 0 || Number.isNaN(ns) ? 0 : ns / 1e9)
      const samples: Sample[] = [
        [['0.5'], seconds(lag.percentile(50))],
        [['0.99'], seconds(lag.percentile(99))],
        [['1'], seconds(lag.max)],
      ]
      lag.reset()
      return samples
    },
    { labels: ['quantile'] },
  )
  return () => lag.disable()
}
