// A broker that others wrote (aedes), as strict as AWS IoT Core: aedes.mjs MODULES PLAIN_PORT DENIED [TLS_PORT CA CERT KEY]
//
// It speaks MQTT 3.1.1 alone. It hangs up without a word on whoever publishes what is denied: each line of the file DENIED
// is a word that neither topic nor payload may hold; the file is read at each publish. With TLS it wants a certificate of
// CA's, and takes those alone who speak `x-amzn-mqtt-ca` (ALPN). MODULES is the folder that npm has filled. Says
// `listening` once it does, and a line for each client that comes and each publish that it denies. It forgets everything
// when it ends.

import fs from 'node:fs'
import { createRequire } from 'node:module'
import net from 'node:net'
import path from 'node:path'
import tls from 'node:tls'
import { pathToFileURL } from 'node:url'

const [modules, plainPort, denied, tlsPort, ca, cert, key] = process.argv.slice(2)
const entry = createRequire(path.join(modules, 'package.json')).resolve('aedes')
const { Aedes } = await import(pathToFileURL(entry))
const ALPN = 'x-amzn-mqtt-ca'

const broker = await Aedes.createBroker()
broker.authorizePublish = (_client, packet, done) => {
  const words = fs.readFileSync(denied, 'utf8').split('\n').filter(Boolean)
  const said = packet.topic + ' ' + packet.payload
  const word = words.find(word => said.includes(word))
  if (word) console.log(`denied ${packet.topic}`)
  // An error ends the connection.
  done(word ? new Error('denied') : null)
}
broker.on('client', client => console.log(`client ${client.id}`))

const listening = server => new Promise(resolve => server.once('listening', resolve))
const plain = net.createServer(broker.handle).listen(plainPort, '127.0.0.1')
await listening(plain)
if (tlsPort) {
  const read = file => fs.readFileSync(file)
  const terms = { ca: read(ca), cert: read(cert), key: read(key), requestCert: true, ALPNProtocols: [ALPN] }
  const secured = tls.createServer(terms, socket => {
    // Who offers another one is told by TLS itself; who offers none, by nobody.
    if (socket.alpnProtocol === ALPN) broker.handle(socket)
    else socket.destroy()
  })
  await listening(secured.listen(tlsPort, '127.0.0.1'))
}
console.log('listening')
