// Print a Northbound feed, one record a line: npm install && node consumer.mjs alerts
// A second argument is how many records to print; the group is <prefix>node. A record counts as read
// when it has been printed: after a crash some may come again, drop those whose metadata.uid you have.
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import kafkajs from 'kafkajs'
import lz4 from 'lz4js'

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs
// kafkajs reads gzip by itself; Northbound's records are compressed with LZ4.
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => Buffer.from(lz4.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(lz4.decompress(buffer)),
})

const folder = dirname(fileURLToPath(import.meta.url))
const { kafka: given, topics } = JSON.parse(readFileSync(join(folder, 'northbound.json')))
const feed = process.argv[2] ?? 'alerts'
const count = Number(process.argv[3] ?? 0)
const file = (key) => readFileSync(join(folder, given[key]))
const own = given['ssl.certificate.location']

const kafka = new Kafka({
  clientId: given['client.id'],
  brokers: given['bootstrap.servers'].split(','),
  ssl: {
    ...(given['ssl.ca.location'] && { ca: [file('ssl.ca.location')] }),
    ...(own && { cert: file('ssl.certificate.location'), key: file('ssl.key.location') }),
  },
  ...(!own && {
    sasl: {
      mechanism: given['sasl.mechanisms'].toLowerCase(),
      username: given['sasl.username'],
      password: given['sasl.password'],
    },
  }),
  logLevel: logLevel.ERROR,
})
const prefix = given['group.id'].slice(0, given['group.id'].lastIndexOf('.') + 1)
const consumer = kafka.consumer({ groupId: `${prefix}node`, sessionTimeout: 60000, readUncommitted: false })
let printed = 0
let leaving = false

async function leave(status) {
  if (leaving) return
  leaving = true
  await consumer.disconnect()
  process.exit(status)
}
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => leave(0))
consumer.on(consumer.events.CRASH, ({ payload }) => {
  console.error(`Refused: ${payload.error.message}`)
  if (!payload.restart) leave(1)
})

try {
  await consumer.connect()
  await consumer.subscribe({ topics: [topics[feed] ?? feed], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      if (leaving || (count && printed >= count)) return
      if (message.value) {
        process.stdout.write(message.value)
        process.stdout.write('\n')
        printed += 1
      }
      await consumer.commitOffsets([
        { topic, partition, offset: (BigInt(message.offset) + 1n).toString() },
      ])
      if (count && printed >= count) setImmediate(() => leave(0))
    },
  })
} catch (error) {
  console.error(`Refused: ${error.message}`)
  process.exit(1)
}
