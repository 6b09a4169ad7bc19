package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/aws"
	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/serverless"
)

// A store may share the table of a serverless-event-store (github.com/ilia-tolliu/serverless-event-store) with that
// system's Lambda. The streams that the Lambda can have (serverless.Names) then lie in both tables: what leat appends is
// written into both by one transaction, under the condition on the Lambda's head by which the Lambda itself writes; what
// the Lambda appends is taken into leat's log afterwards, each revision once. All other streams are leat's alone.

// The attributes of that system's items, as its repository writes them (internal/repo) and its stack declares them.
const (
	sharedPK, sharedSK = "PK", "SK" // text: the stream's id; number: 0 the head, n the event of revision n
	sharedRecord       = "RecordType"
	sharedType         = "StreamType"
	sharedRevision     = "StreamRevision"
	sharedUpdated      = "UpdatedAt"
	sharedEventType    = "EventType"
	sharedPayload      = "Payload"
	sharedCreated      = "CreatedAt"
	sharedIndex        = "StreamIndex" // of heads, by type and the time of their last update
)

// SharedTable is a serverless-event-store's table.
type SharedTable struct {
	// Table is the table's name; it is in the same account and region as leat's.
	Table string
	// Poll is how often the Lambda's appends are looked for; 0: a second. A type that the Lambda has just begun is found
	// within ten times as long for each megabyte of the table's index.
	Poll time.Duration
}

// shared is the table as an open store has it.
type shared struct {
	s     *Store
	table string
	poll  time.Duration

	stop    context.CancelFunc
	stopped chan struct{}
	finder  finder
	broken  sync.Map // by name: when a stream was found not to be whole
}

// sharedHead is a stream's head in the shared table.
type sharedHead struct {
	name     event.Stream
	revision int64
	updated  time.Time
	err      error // it cannot be read
}

func readSharedHead(i item) (sharedHead, error) {
	h := sharedHead{name: event.Stream{Type: text(i, sharedType), ID: text(i, sharedPK)}, revision: number(i, sharedRevision)}
	var err error
	if h.updated, err = time.Parse(time.RFC3339Nano, text(i, sharedUpdated)); err != nil || h.revision < 1 || h.name.Type == "" {
		return h, fmt.Errorf("%w: the head of stream %s in the shared table cannot be read", eventstore.ErrCorrupt, h.name.ID)
	}
	return h, nil
}

func sharedKey(id string, revision int64) item {
	return item{sharedPK: str(id), sharedSK: num(revision)}
}

// sharedTime is a time as the Lambda writes it: it compares such texts.
func sharedTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// names reports whether a stream is in the shared table.
func (h *shared) names(name event.Stream) bool { return h != nil && serverless.Names(name) }

// heads reads heads by their ids; one that is not there is left out, one that cannot be read has its error.
func (h *shared) heads(ctx context.Context, ids []string) (map[string]sharedHead, error) {
	keys := make([]item, len(ids))
	for n, id := range ids {
		keys[n] = sharedKey(id, 0)
	}
	found, err := h.s.getsOf(ctx, h.table, keys)
	if err != nil {
		return nil, err
	}
	out := map[string]sharedHead{}
	for _, i := range found {
		head, err := readSharedHead(i)
		head.err = err
		out[head.name.ID] = head
	}
	return out, nil
}

// errSharedGap says that a revision is missing in the shared table.
var errSharedGap = errors.New("a revision is missing in the shared table")

// pageBytes bounds the payloads that are read before they are written.
const pageBytes = 1 << 20

// settle waits for what the shared table must have. Units of others wait with the one in question, so it is not for as long
// as elsewhere, and for a stream that was found to be broken not again within a minute.
func (h *shared) settle(name event.Stream) *settling {
	if at, known := h.broken.Load(name); known && time.Since(at.(time.Time)) < time.Minute {
		return settle(0)
	}
	return settle(h.s.cfg.Patience / 4)
}

// behind reads a page of the events behind a revision, of which the head knows.
func (h *shared) behind(ctx context.Context, name event.Stream, after int64) ([]event.Event, error) {
	for wait := h.settle(name); ; {
		events, err := h.events(ctx, name, after)
		if err != nil && !errors.Is(err, errSharedGap) || len(events) > 0 {
			return events, err
		}
		if !wait.again(ctx) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			h.broken.Store(name, time.Now())
			return nil, fmt.Errorf("%w: %w: %d of stream %s", eventstore.ErrCorrupt, errSharedGap, after+1, name)
		}
	}
}

// events reads a page of the events behind a revision, up to one that is missing: at least one where there are any.
func (h *shared) events(ctx context.Context, name event.Stream, after int64) ([]event.Event, error) {
	limit := int32(500)
	in := &dynamodb.QueryInput{
		TableName: &h.table, ConsistentRead: &yes, ReturnConsumedCapacity: h.s.counting(), Limit: &limit,
		KeyConditionExpression:    ptr(sharedPK + " = :id AND " + sharedSK + " > :after"),
		ExpressionAttributeValues: item{":id": str(name.ID), ":after": num(after)},
	}
	var out *dynamodb.QueryOutput
	err := h.s.again(ctx, "Query", func(ctx context.Context) (err error) {
		out, err = h.s.cfg.Client.Query(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	h.s.used("Query", out.ConsumedCapacity)
	var events []event.Event
	size := 0
	for _, i := range out.Items {
		revision := after + int64(len(events)) + 1
		if number(i, sharedSK) != revision && len(events) > 0 {
			break
		}
		if number(i, sharedSK) != revision {
			return nil, fmt.Errorf("%w: %w: %d of stream %s", eventstore.ErrCorrupt, errSharedGap, revision, name)
		}
		e, err := sharedEvent(name, i)
		if err != nil {
			return nil, err
		}
		if size += len(e.Data); len(events) > 0 && size > pageBytes {
			break
		}
		events = append(events, e)
	}
	return events, nil
}

// sharedIDs names the events that the Lambda wrote, which have no ids of their own.
var sharedIDs = uuid.MustParse("6f5a1c1e-6f4b-4d55-9d0e-3c7f6f1f3b52")

// sharedEvent makes the event of an item. Its id is a UUID of version 5 over stream, revision and time, so that it is the
// same whoever takes it in, and nobody can have used it before.
func sharedEvent(name event.Stream, i item) (event.Event, error) {
	e := event.Event{Type: text(i, sharedEventType), Changed: true}
	created := text(i, sharedCreated)
	e.ID = uuid.NewSHA1(sharedIDs, []byte(name.ID+"/"+strconv.FormatInt(number(i, sharedSK), 10)+"/"+created)).String()
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, created); err != nil {
		return e, fmt.Errorf("%w: event %d of stream %s in the shared table has the time %q", eventstore.ErrCorrupt, number(i, sharedSK), name, created)
	}
	return e, serverless.SetPayload(&e, text(i, sharedPayload))
}

// prepare looks at the table and changes nothing in it.
func (h *shared) prepare(ctx context.Context) error {
	d, err := h.s.cfg.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &h.table})
	if err != nil {
		return aws.AtStart(err, "serverless-event-store's table "+h.table, "dynamodb:DescribeTable")
	}
	if words := sharedFits(d.Table); words != "" {
		return fmt.Errorf("%w: table %s is not serverless-event-store's: %s", ErrLayout, h.table, words)
	}
	return nil
}

// sharedFits says in words what a table lacks; "" where it is as serverless-event-store's stack makes it.
func sharedFits(t *types.TableDescription) string {
	attributes := map[string]types.ScalarAttributeType{}
	for _, a := range t.AttributeDefinitions {
		attributes[*a.AttributeName] = a.AttributeType
	}
	keys := func(schema []types.KeySchemaElement) (names []string) {
		for _, k := range schema {
			names = append(names, *k.AttributeName)
		}
		return names
	}
	have := keys(t.KeySchema)
	if !slices.Equal(have, []string{sharedPK, sharedSK}) || attributes[sharedPK] != types.ScalarAttributeTypeS || attributes[sharedSK] != types.ScalarAttributeTypeN {
		return fmt.Sprintf("its keys are %v, not PK (text) and SK (number)", have)
	}
	for _, x := range t.GlobalSecondaryIndexes {
		if *x.IndexName != sharedIndex {
			continue
		}
		if have := keys(x.KeySchema); !slices.Equal(have, []string{sharedType, sharedUpdated}) {
			return fmt.Sprintf("the keys of its index %s are %v, not %s and %s", sharedIndex, have, sharedType, sharedUpdated)
		}
		projected := x.Projection == nil || x.Projection.ProjectionType == types.ProjectionTypeAll || slices.Contains(x.Projection.NonKeyAttributes, sharedRevision)
		if !projected {
			return fmt.Sprintf("its index %s does not hold %s", sharedIndex, sharedRevision)
		}
		if x.IndexStatus != "" && x.IndexStatus != types.IndexStatusActive {
			return fmt.Sprintf("its index %s is %s", sharedIndex, x.IndexStatus)
		}
		return ""
	}
	return "it has no index " + sharedIndex + " (by " + sharedType + " and " + sharedUpdated + ", with " + sharedRevision + "), by which leat finds what the Lambda writes"
}

// items bounds the items of a transaction that a unit adds in the shared table.
func (h *shared) items(u *eventstore.Unit) (n int) {
	if h == nil {
		return 0
	}
	for i := range u.Appends {
		if a := &u.Appends[i]; serverless.Names(a.Stream) {
			n += 1 + len(a.Events)
		}
	}
	return n
}

// bytes is about what a unit writes there.
func (h *shared) bytes(u *eventstore.Unit) (n int) {
	if h == nil {
		return 0
	}
	for i := range u.Appends {
		if a := &u.Appends[i]; serverless.Names(a.Stream) {
			for j := range a.Events {
				n += len(a.Events[j].Data) + 200
			}
		}
	}
	return n
}

// refuse says why a unit cannot be written into the shared table; nil: it can.
func (h *shared) refuse(u *eventstore.Unit) error {
	if h == nil {
		return nil
	}
	for i := range u.Appends {
		a := &u.Appends[i]
		if !serverless.Names(a.Stream) {
			continue
		}
		for j := range a.Events {
			e := &a.Events[j]
			if !utf8.Valid(e.Data) || !utf8.ValidString(e.Type) {
				return fmt.Errorf("dynamodb: event %s for stream %s: type and data must be UTF-8 text, as serverless-event-store keeps them", e.ID, a.Stream)
			}
		}
	}
	if items := cost(u) + 3*len(u.Appends) + h.items(u); items > most {
		return fmt.Errorf("%w: the unit writes about %d items; a transaction of DynamoDB holds %d, and serverless-event-store keeps each event in one of its own", eventstore.ErrTooLarge, items, most)
	}
	if bytes := weightOf(u) + h.bytes(u); bytes > transactBytes {
		return fmt.Errorf("%w: the unit has about %d bytes in two tables; a transaction of DynamoDB holds 4 MB", eventstore.ErrTooLarge, bytes)
	}
	return nil
}

// sharedWrites are a draft's items in the shared table.
type sharedWrites struct {
	writes []types.TransactWriteItem
	base   int // how many items of the transaction stand before them
	// heads and events say which of them are a stream's.
	heads, events map[int]event.Stream
}

// writes makes the items of a draft's events, those apart that come from there.
func (h *shared) writes(d *draft) {
	if h == nil {
		return
	}
	first, last := map[event.Stream]int64{}, map[event.Stream]int64{}
	var names []event.Stream
	committed := sharedTime(d.plan.Committed())
	d.shared = sharedWrites{heads: map[int]event.Stream{}, events: map[int]event.Stream{}}
	add := func(of map[int]event.Stream, name event.Stream, w types.TransactWriteItem) {
		of[len(d.shared.writes)] = name
		d.shared.writes = append(d.shared.writes, w)
	}
	for _, w := range d.plan.Writes {
		name := w.Stream.Name
		if d.takenIn[w.Event] || !serverless.Names(name) {
			continue
		}
		if first[name] == 0 {
			first[name] = w.Revision
			names = append(names, name)
		}
		last[name] = w.Revision
		i := sharedKey(name.ID, w.Revision)
		i[sharedRecord], i[sharedEventType], i[sharedPayload], i[sharedCreated] = str("event"), str(w.Event.Type), str(serverless.Payload(w.Event)), str(committed)
		add(d.shared.events, name, types.TransactWriteItem{Put: &types.Put{TableName: &h.table, Item: i, ConditionExpression: ptr("attribute_not_exists(PK)")}})
	}
	for _, name := range names {
		if first[name] == 1 {
			i := sharedKey(name.ID, 0)
			i[sharedRecord], i[sharedType], i[sharedRevision], i[sharedUpdated] = str("stream"), str(name.Type), num(last[name]), str(committed)
			add(d.shared.heads, name, types.TransactWriteItem{Put: &types.Put{TableName: &h.table, Item: i, ConditionExpression: ptr("attribute_not_exists(PK)")}})
			continue
		}
		add(d.shared.heads, name, types.TransactWriteItem{Update: &types.Update{
			TableName: &h.table, Key: sharedKey(name.ID, 0),
			UpdateExpression:    ptr("SET StreamRevision = :n, UpdatedAt = :at"),
			ConditionExpression: ptr("StreamRevision = :r AND StreamType = :t"),
			ExpressionAttributeValues: item{
				":n": num(last[name]), ":at": str(committed), ":r": num(first[name] - 1), ":t": str(name.Type),
			},
		}})
	}
}

// broken reports a stream of which the shared table has an event that its head does not know: no writer that keeps to
// the rules leaves that, and no repeat would mend it.
func (d *draft) broken(err error) error {
	held := map[event.Stream]bool{}
	for n, name := range d.shared.heads {
		// A head that another transaction holds is about to say more.
		if _, no := failed(err, d.shared.base+n); no || contended(err, d.shared.base+n) {
			held[name] = true
		}
	}
	for n, name := range d.shared.events {
		if _, no := failed(err, d.shared.base+n); no && !held[name] {
			return fmt.Errorf("%w: the shared table has an event of stream %s behind the revision that its head says", eventstore.ErrCorrupt, name)
		}
	}
	return nil
}

// permissions are what leat does in a shared table: it reads it and appends to it, and neither deletes nor makes anything.
func (c *ServerlessSettings) permissions(region string) []config.Statement {
	table := fmt.Sprintf("arn:aws:dynamodb:%s:*:table/%s", region, c.Table)
	return []config.Statement{
		config.Allow("LeatSharedStore", []string{
			"dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
		}, table),
		config.Allow("LeatSharedStreams", []string{"dynamodb:Query", "dynamodb:Scan"}, table+"/index/"+sharedIndex),
	}
}
