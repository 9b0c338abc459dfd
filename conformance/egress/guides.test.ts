import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { type Block, followGuide } from '../shared/guides.ts'
import { sparkJars } from '../spark/jars.ts'
import { missingTool } from '../support.ts'
import { openPushing } from './pushing.ts'
import { connect } from './s3.ts'
import { shownIn } from './shown.ts'
import { missingStore, startStore } from './stores.ts'

const missing = await missingStore('moto')
const { folder: jars, missing: missingJars } = sparkJars()
const missingSpark =
  missing ??
  (await missingTool('python3', ['-c', 'import pyspark, duckdb'])) ??
  (await missingTool('java', ['-version'])) ??
  missingJars

const tables = join(import.meta.dirname, 'egress_tables.py')
const runs =
  (...languages: string[]) =>
  ({ language }: Block) =>
    !languages.includes(language)

describe('the guides', { timeout: 300_000 }, () => {
  it('egress: its commands do what it says', { skip: missing }, async (t) => {
    const store = await startStore('moto')
    t.after(() => store.stop())
    const source = await openPushing([store])
    t.after(() => source.close())
    const s3 = connect(source.server)
    await s3.send(new CreateBucketCommand({ Bucket: 'master.images' }))
    await s3.send(new PutObjectCommand({ Bucket: 'master.images', Key: 'a.png', Body: 'not really a picture' }))
    s3.destroy()
    await source.sluice(['flush', 'images@master'])
    await followGuide(source, 'egress', {
      page: 'egress',
      except: runs('sh'),
      fill: (text) =>
        text
          .replaceAll('https://s3.example.com', `http://${store.host}`)
          .replaceAll('s3.example.com', store.host)
          .replaceAll(/YOUR_TARGET_(ACCESS|SECRET)_KEY/g, 'moto'),
    })
  })

  it('spark-athena: its programs read what was pushed', { skip: missingSpark }, async (t) => {
    const store = await startStore('moto')
    t.after(() => store.stop())
    const source = await openPushing([store])
    t.after(() => source.close())
    await source.keepSecret('aws', store.secret)
    await source.sluice(['repo', 'create', 'input'])
    const environment = source.server.clientEnvironment
    await source.ok('python3', [tables, 'write', 's3://master.input'], { environment })
    for (const [n, name] of ['plain', 'by-commit'].entries())
      await source.createPipeline(name, shownIn('spark-athena', n))
    await source.sluice(['flush', 'input@master'])
    await writeFile(join(source.folder, 'spark-defaults.conf'), sparkSettings(store.host, source.folder))
    await followGuide(source, 'spark-athena', {
      page: 'egress/spark-athena',
      except: runs('python'),
      environment: { SPARK_CONF_DIR: source.folder, SPARK_LOCAL_IP: '127.0.0.1' },
    })
  })
})

function sparkSettings(host: string, folder: string): string {
  return Object.entries({
    'spark.master': 'local[2]',
    'spark.jars': `${jars}/*`,
    'spark.driver.host': '127.0.0.1',
    'spark.driver.bindAddress': '127.0.0.1',
    'spark.ui.enabled': 'false',
    'spark.local.dir': folder,
    'spark.sql.warehouse.dir': join(folder, 'warehouse'),
    'spark.hadoop.fs.s3a.endpoint': `http://${host}`,
    'spark.hadoop.fs.s3a.endpoint.region': 'us-east-1',
    'spark.hadoop.fs.s3a.path.style.access': 'true',
    'spark.hadoop.fs.s3a.access.key': 'moto',
    'spark.hadoop.fs.s3a.secret.key': 'moto',
  })
    .map((pair) => pair.join(' '))
    .join('\n')
}
