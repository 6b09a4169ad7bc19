package config

// examples are the files that show steps and frames, by "kind name"; a test loads each.
var examples = map[string]string{
	"source event_log": `pipelines:
  example:
    source: { event_log: { origins: [orders], types: [OrderPlaced] } }   # what the pipeline orders appended
    steps:                                                               # nothing is appended: tables and forwards read the log
      - project: { table: placed, key: { order_id: data.order_id }, set: { placed: time } }
`,
	"step filter": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - filter: type == "OrderCreated" && data.amount > 500
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"step match": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - match:                          # an EventBridge event pattern, pasted unchanged
          source: [shop]
          detail-type: [{ prefix: Order }]
          detail: { amount: [{ numeric: [">", 500] }] }
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"step map": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - map:
          set:
            data.total: data.amount * data.quantity
            data.customer.name: data.first_name + " " + data.last_name
            metadata.tenant: '"acme"'
          unset: [data.first_name, data.last_name]
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"step validate": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - validate: { schema: "${SCHEMAS}/shop", version: data.version, invalid: poison }   # shop/OrderCreated/1.json, …
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"step lookup": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - lookup:
          table: customers
          key: { id: data.customer_id }
          into: data.customer
          missing: null
          cache: { ttl: 30s }
      - append: { stream: "order/{{ data.order_id }}" }
tables:
  customers: { columns: { id: text, name: text, tier: text } }
`,
	"step split": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - split:                          # an event for each line of the order
          each: data.lines
          data: { order_id: data.order_id, line: index, sku: item.sku, quantity: item.quantity }
      - append: { stream: "line/{{ data.order_id }}-{{ data.line }}" }
`,
	"step handle": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - handle:
          http_enrich: { url: "https://example.com/customers/{{ data.customer_id }}", into: data.customer }
        limits: { parallel: 8, rate: 100 }
        retry: { attempts: 3, timeout: 5s }
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"step branch": `pipelines:
  example:
    source: { file: { path: shop.ndjson } }
    steps:
      - branch:
          - match: { detail-type: [{ prefix: Order }] }
            steps:
              - name: orders            # a name, as steps follow the append in its case
                append: { stream: "order/{{ data.order_id }}" }
              - forward: { file: { path: orders.ndjson } }
          - when: data.amount < 0
            steps:
              - append: { stream: "refund/{{ data.payment_id }}" }
          - else: true
            steps:
              - append: { stream: "other/{{ id }}" }
`,
	"step append": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append:
          stream: "order/{{ data.order_id }}"
          expect: no_stream
          on_conflict: poison
          type: OrderAccepted
          data: { order: data.order_id, total: data.amount, at: time }
        when: type == "OrderCreated"
`,
	"step project": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project:
          table: orders
          key: { order_id: data.order_id }
          by_type:
            OrderCreated: { set: { status: '"new"', created: time }, add: { total: data.amount } }
            OrderPaid: { set: { status: '"paid"' } }
            OrderDeleted: { delete: "true" }
tables:
  orders: { columns: { order_id: text, status: text, created: timestamp, total: numeric }, indexes: [[status]] }
`,
	"step forward": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: big-orders
        when: data.amount > 500
        forward:
          file: { path: big-orders.ndjson }
          envelope: eventbridge
          source: leat.orders
        retry: { attempts: 10, max: 1m }
        batch: { events: 100, wait: 1s }
        from: start
`,
	"frame file": `version: 1
pipelines:
  orders:
    source: { file: { path: orders.ndjson } }
    steps:
      - use: only-orders
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { id: data.order_id }, set: { amount: data.amount } }
tables:
  orders: { columns: { id: text, amount: numeric } }
stores:
  main: { sqlite: { dir: "${LEAT_DATA:-./data}" } }
fragments:
  only-orders:
    - filter: type startsWith "Order"
defaults:
  retry: { attempts: 10 }
server: { listen: "127.0.0.1:8087" }
telemetry: { logs: { level: debug } }
x-note: keys that start with x- are for you
`,
	"frame pipeline": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - forward: { stdout: {} }
    retry: { attempts: 8, initial: 500ms, max: 1m, timeout: 10s }
    poison: { copy: { file: { path: failed.ndjson } }, hold: stream }
    limits: { events: 5000, bytes: 8MiB, event_size: 256KiB }
    drain: 20s
`,
	"frame source": `pipelines:
  example:
    source:
      file: { path: payments.ndjson, follow: true }
      order_by: data.payment_id             # one after another for each payment, payments beside each other
      limits: { events: 500, bytes: 512KiB }
      envelope: json
      event:                                # the lines are plain bodies: expressions make events of them
        id: data.payment_id
        type: '"Payment" + data.kind'
        source: '"bank"'
        time: data.booked_at
    steps:
      - append: { stream: "payment/{{ data.payment_id }}" }
`,
	"frame step": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - name: to-billing
        when: data.amount > 0
        forward: { file: { path: billing.ndjson } }
        retry: { attempts: 20, max: 5m }
        limits: { parallel: 4, rate: 200 }
        batch: { events: 50, bytes: 256KiB, wait: 500ms }
        from: now
        was: to-accounting                  # the relay's earlier name: it goes on where that one was
`,
	"frame table": `pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, set: { status: data.status, updated: time }, add: { total: data.amount } }
tables:
  orders:
    columns: { order_id: text, status: text, total: numeric, updated: timestamp }
    indexes: [[status, updated]]
    version: 2                              # raised when the projection changes its meaning: the table is built anew beside the old one
`,
	"frame test": `pipelines:
  orders:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
      - project: { table: orders, key: { order_id: data.order_id }, add: { total: data.amount } }
      - name: to-billing
        when: data.amount > 500
        forward: { file: { path: billing.ndjson } }
tests:
  - name: large orders are billed, once billing is up again
    given: { tables: { orders: [ { order_id: o-1, total: 100 } ] } }
    stubs: { to-billing: { fail: { times: 1, unavailable: true } } }   # its first call fails
    steps:
      - events: [ { type: OrderPlaced, data: { order_id: o-1, amount: 900 } } ]
        expect:
          appended: { order/o-1: [ { type: OrderPlaced } ] }           # lists are exact, maps name what must be in them
          tables: { orders: [ { order_id: o-1, total: 1000 } ] }
          forwarded: { to-billing: [] }
      - after: 1m                                                      # moves the clock
        expect: { forwarded: { to-billing: [ { data: { amount: 900 } } ] } }
`,
	"frame defaults": `defaults:
  retry: { attempts: 10, max: 1m }
  poison: { hold: none }
  limits: { events: 20000 }
  drain: 20s
pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"frame server": `server: { listen: "127.0.0.1:9000" }
pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`,
	"frame telemetry": `telemetry:
  logs: { level: debug, format: json }
pipelines:
  example:
    source: { file: { path: orders.ndjson } }
    steps:
      - append: { stream: "order/{{ data.order_id }}" }
`,
}
