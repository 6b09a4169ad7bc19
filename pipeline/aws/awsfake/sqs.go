package awsfake

import (
	"context"
	"crypto/md5" //nolint:gosec // what the protocol has
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxMessage     = 1 << 20
	dedupWindow    = 5 * time.Minute
	maxVisibility  = 12 * time.Hour
	codeParameter  = "InvalidParameterValue"
	noQueueMessage = "The specified queue does not exist."
)

// Attribute is a message attribute.
type Attribute struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

// Message is a message of a queue.
type Message struct {
	ID, Body, Group, Dedup, Trace string
	Attributes                    map[string]Attribute
	Sent                          time.Time
	Receives                      int
	// Delay is what it was sent with.
	Delay time.Duration
}

type message struct {
	Message
	visible  time.Time // from when on
	inFlight bool      // received, and neither deleted nor visible again
	handle   string    // the newest
	first    time.Time
	serial   int
}

func (m *message) flying(now time.Time) bool { return m.inFlight && m.visible.After(now) }

type queue struct {
	name       string
	fifo       bool
	content    bool // ContentBasedDeduplication
	visibility time.Duration
	delay      time.Duration
	maxSize    int
	dead       string // queue name of the dead-letter queue
	maxReceive int
	messages   []*message
	byID       map[string]*message
	seen       map[string]seen // by deduplication id
	deleted    int
	attempts   map[string]attempt // by ReceiveRequestAttemptId
	given      map[string]string  // attributes that it was made with or set to, beside those above
	tags       map[string]string
}

// attempt is a receive that may be asked for again, where its answer was lost.
type attempt struct {
	at      time.Time
	given   []*message
	handles []string
}

type seen struct {
	id string
	at time.Time
}

// Queue says how a queue is made: zero fields are SQS' own defaults.
type Queue struct {
	Name       string // FIFO where it ends in .fifo
	Visibility time.Duration
	// MaxReceives moves a message to Dead instead of handing it out once more.
	Dead        string
	MaxReceives int
}

// CreateQueue makes a queue and gives its URL.
func (c *Cloud) CreateQueue(q Queue) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &queue{
		name: q.Name, fifo: strings.HasSuffix(q.Name, ".fifo"), visibility: 30 * time.Second, maxSize: maxMessage,
		dead: q.Dead, maxReceive: q.MaxReceives, seen: map[string]seen{}, byID: map[string]*message{}, attempts: map[string]attempt{},
	}
	if q.Visibility > 0 {
		n.visibility = q.Visibility
	}
	c.queues[q.Name] = n
	return n.url()
}

func (q *queue) url() string { return "https://sqs.eu-west-1.amazonaws.com/" + Account + "/" + q.name }
func (q *queue) arn() string { return "arn:aws:sqs:eu-west-1:" + Account + ":" + q.name }

// DeleteQueue removes a queue with all that is in it.
func (c *Cloud) DeleteQueue(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.queues, name)
}

// Messages gives what a queue holds, visible or not, in the order in which it was sent.
func (c *Cloud) Messages(name string) []Message {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Message
	if q := c.queues[name]; q != nil {
		for _, m := range q.messages {
			out = append(out, m.Message)
		}
	}
	return out
}

// InFlight gives how many messages of a queue are handed out and not visible.
func (c *Cloud) InFlight(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, m := range c.queues[name].messages {
		if m.flying(time.Now()) {
			n++
		}
	}
	return n
}

// Deleted gives how many messages of a queue were deleted.
func (c *Cloud) Deleted(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queues[name].deleted
}

// Send puts messages into a queue, past all checks and faults.
func (c *Cloud) Send(name string, messages ...Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range messages {
		c.put(c.queues[name], m)
	}
}

func (c *Cloud) put(q *queue, m Message) *message {
	c.serial++
	now := time.Now()
	if m.ID == "" {
		m.ID = fmt.Sprintf("00000000-0000-4000-8000-%012d", c.serial)
	}
	m.Sent = now
	n := &message{Message: m, visible: now.Add(m.Delay), serial: c.serial}
	q.messages = append(q.messages, n)
	q.byID[m.ID] = n
	c.rouse()
	return n
}

// rouse wakes the receives that wait.
func (c *Cloud) rouse() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// find gives a queue by its URL.
func (c *Cloud) find(url string) (*queue, error) {
	if q := c.queues[url[strings.LastIndexByte(url, '/')+1:]]; q != nil {
		return q, nil
	}
	return nil, &apiError{status: 400, code: "QueueDoesNotExist", query: "AWS.SimpleQueueService.NonExistentQueue", message: noQueueMessage}
}

type queueRequest struct {
	QueueName, QueueUrl string //nolint:revive // the protocol's spelling
	Attributes          map[string]string
	Tags                map[string]string `json:"tags"`
}

func (c *Cloud) createQueue(in queueRequest) (any, error) {
	seconds, _ := strconv.Atoi(in.Attributes["VisibilityTimeout"])
	c.mu.Lock()
	old := c.queues[in.QueueName]
	c.mu.Unlock()
	if old != nil {
		return map[string]string{"QueueUrl": old.url()}, nil
	}
	url := c.CreateQueue(Queue{Name: in.QueueName, Visibility: time.Duration(seconds) * time.Second})
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[in.QueueName]
	q.tags = in.Tags
	q.set(in.Attributes)
	return map[string]string{"QueueUrl": url}, nil
}

func (c *Cloud) deleteQueue(in queueRequest) (any, error) {
	c.DeleteQueue(in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '/')+1:])
	return nil, nil
}

func (c *Cloud) queueURL(in queueRequest) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueName)
	if err != nil {
		return nil, err
	}
	return map[string]string{"QueueUrl": q.url()}, nil
}

func (c *Cloud) queueAttributes(in queueRequest) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	a := map[string]string{
		"QueueArn": q.arn(), "VisibilityTimeout": strconv.Itoa(int(q.visibility / time.Second)), "MaximumMessageSize": strconv.Itoa(q.maxSize),
		"ApproximateNumberOfMessages": strconv.Itoa(len(q.messages)),
	}
	if q.fifo {
		a["FifoQueue"], a["ContentBasedDeduplication"] = "true", strconv.FormatBool(q.content)
	}
	for name, value := range q.given {
		a[name] = value
	}
	if dead := c.queues[q.dead]; dead != nil {
		a["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead.arn(), q.maxReceive)
	}
	return map[string]any{"Attributes": a}, nil
}

// sendEntry is a message to send; with ReceiptHandle and VisibilityTimeout it is an entry of the other batches too.
type sendEntry struct {
	Id, MessageBody, MessageGroupId, MessageDeduplicationId, QueueUrl, ReceiptHandle string //nolint:revive // the protocol's spelling
	DelaySeconds                                                                     *int
	VisibilityTimeout                                                                int
	MessageAttributes                                                                map[string]Attribute
	MessageSystemAttributes                                                          map[string]Attribute
}

type batchRequest struct {
	QueueUrl string //nolint:revive // the protocol's spelling
	Entries  []sendEntry
}

type failedEntry struct {
	Id, Code, Message string //nolint:revive // the protocol's spelling
	SenderFault       bool
}

type batchResult struct {
	Successful []map[string]string
	Failed     []failedEntry
}

func (c *Cloud) sendMessage(in sendEntry) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return c.sendOne(q, in)
}

func (c *Cloud) sendOne(q *queue, in sendEntry) (map[string]string, error) {
	if err := checkMessage(q, in); err != nil {
		return nil, err
	}
	m := Message{Body: in.MessageBody, Group: in.MessageGroupId, Dedup: in.MessageDeduplicationId, Attributes: in.MessageAttributes, Delay: q.delay,
		Trace: in.MessageSystemAttributes["AWSTraceHeader"].StringValue}
	if in.DelaySeconds != nil {
		m.Delay = time.Duration(*in.DelaySeconds) * time.Second
	}
	id := ""
	if before, ok := q.seen[m.Dedup]; q.fifo && ok && time.Since(before.at) < dedupWindow {
		id = before.id
	} else {
		id = c.put(q, m).ID
		if q.fifo {
			q.seen[m.Dedup] = seen{id: id, at: time.Now()}
		}
	}
	return map[string]string{"Id": in.Id, "MessageId": id, "MD5OfMessageBody": sum(in.MessageBody)}, nil
}

func sum(s string) string {
	h := md5.Sum([]byte(s)) //nolint:gosec // what the protocol has
	return hex.EncodeToString(h[:])
}

func (in sendEntry) size() int {
	n := len(in.MessageBody)
	for name, a := range in.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.StringValue) + len(a.BinaryValue)
	}
	return n
}

func checkMessage(q *queue, in sendEntry) error {
	switch {
	case in.MessageBody == "":
		return refuse("MissingParameter", "The request must contain the parameter MessageBody.")
	case in.size() > q.maxSize:
		return refuse(codeParameter, "One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", q.maxSize)
	case !legal(in.MessageBody):
		return refuse("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	case len(in.MessageAttributes) > 10:
		return refuse(codeParameter, "Number of message attributes [%d] exceeds the allowed maximum [10].", len(in.MessageAttributes))
	case q.fifo && in.MessageGroupId == "":
		return refuse("MissingParameter", "The request must contain the parameter MessageGroupId.")
	case q.fifo && in.MessageDeduplicationId == "":
		return refuse(codeParameter, "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case q.fifo && in.DelaySeconds != nil:
		return refuse(codeParameter, "Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.", *in.DelaySeconds)
	case len(in.MessageGroupId) > 128 || len(in.MessageDeduplicationId) > 128:
		return refuse(codeParameter, "MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.")
	}
	for name, a := range in.MessageAttributes {
		if a.StringValue == "" && len(a.BinaryValue) == 0 {
			return refuse(codeParameter, "Message attribute '%s' must contain a non-empty value of type '%s'.", name, a.DataType)
		}
	}
	return nil
}

// legal reports whether a text holds only what XML 1.0 can.
func legal(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
		if (r < 0x20 && r != '\t' && r != '\n' && r != '\r') || (r > 0xD7FF && r < 0xE000) || r == 0xFFFE || r == 0xFFFF {
			return false
		}
	}
	return true
}

func checkBatch(entries []sendEntry) error {
	ids := map[string]bool{}
	for _, e := range entries {
		ids[e.Id] = true
	}
	switch {
	case len(entries) == 0:
		return refuse("EmptyBatchRequest", "There should be at least one entry in the request.")
	case len(entries) > 10:
		return refuse("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(entries))
	case len(ids) != len(entries):
		return refuse("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
	}
	return nil
}

// batch does one thing to each entry, except those that the fault fails.
func (c *Cloud) batch(in batchRequest, f Fault, do func(q *queue, e sendEntry) (map[string]string, error)) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries); err != nil {
		return nil, err
	}
	if f.Expire {
		q.expire()
		c.rouse()
	}
	var out batchResult
	for i, e := range in.Entries {
		if f.fails(i) {
			out.Failed = append(out.Failed, failedEntry{Id: e.Id, Code: f.entryCode(), Message: "made by the plan"})
			continue
		}
		done, err := do(q, e)
		if err != nil {
			refused := err.(*apiError) //nolint:errorlint,forcetypeassert // our own
			out.Failed = append(out.Failed, failedEntry{Id: e.Id, Code: refused.code, Message: refused.message, SenderFault: true})
			continue
		}
		if done == nil {
			done = map[string]string{"Id": e.Id}
		}
		out.Successful = append(out.Successful, done)
	}
	return out, nil
}

func (q *queue) expire() {
	now := time.Now()
	for _, m := range q.messages {
		if m.flying(now) {
			m.visible, m.inFlight = now, false
		}
	}
}

func (c *Cloud) sendBatch(in batchRequest, f Fault) (any, error) {
	total := 0
	for _, e := range in.Entries {
		total += e.size()
	}
	if total > maxMessage {
		return nil, refuse("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, total)
	}
	return c.batch(in, f, c.sendOne)
}

type receiveRequest struct {
	ReceiveRequestAttemptId                     string //nolint:revive // the protocol's spelling
	QueueUrl                                    string //nolint:revive // the protocol's spelling
	MaxNumberOfMessages                         int
	VisibilityTimeout                           *int
	WaitTimeSeconds                             int
	AttributeNames, MessageSystemAttributeNames []string
	MessageAttributeNames                       []string
}

func (c *Cloud) receive(ctx context.Context, in receiveRequest, f Fault) (any, error) {
	if in.MaxNumberOfMessages > 10 || in.WaitTimeSeconds > 20 {
		return nil, refuse(codeParameter, "Value for parameter is invalid. Reason: must be <= 10 messages and <= 20 s.")
	}
	until := time.Now().Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		c.mu.Lock()
		q, err := c.find(in.QueueUrl)
		if err != nil {
			c.mu.Unlock()
			return nil, err
		}
		if f.Expire {
			q.expire()
			f.Expire = false
		}
		got := c.take(q, in, f)
		wake, next := c.wake, time.Time{}
		if len(got) == 0 {
			next = q.next()
		}
		c.mu.Unlock()
		now := time.Now()
		if len(got) > 0 || !now.Before(until) {
			return map[string]any{"Messages": got}, nil
		}
		if next.IsZero() || next.After(until) {
			next = until
		}
		timer := time.NewTimer(max(next.Sub(now), time.Millisecond))
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// next gives when the next message becomes visible, zero where none will.
func (q *queue) next() (at time.Time) {
	for _, m := range q.messages {
		if at.IsZero() || m.visible.Before(at) {
			if m.visible.After(time.Now()) {
				at = m.visible
			}
		}
	}
	return at
}

// take hands messages out. A group of a FIFO queue is handed out in its order and not while one of it is in flight.
func (c *Cloud) take(q *queue, in receiveRequest, f Fault) (out []map[string]any) {
	now := time.Now()
	visibility := q.visibility
	if in.VisibilityTimeout != nil {
		visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	if out := q.again(in, now, visibility); out != nil {
		return out
	}
	locked, dying := map[string]bool{}, []*message(nil)
	defer func() {
		for _, m := range dying {
			q.remove(m)
		}
	}()
	for _, m := range q.messages {
		if q.fifo && m.flying(now) {
			locked[m.Group] = true
		}
	}
	all := q.messages
	if f.Shuffle && !q.fifo {
		all = slices.Clone(all)
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	for _, m := range all {
		if len(out) >= max(in.MaxNumberOfMessages, 1) {
			break
		}
		if m.visible.After(now) || locked[m.Group] && q.fifo {
			if q.fifo {
				locked[m.Group] = true
			}
			continue
		}
		if dead := c.queues[q.dead]; dead != nil && q.maxReceive > 0 && m.Receives >= q.maxReceive {
			dying = append(dying, m)
			moved := m.Message
			moved.Delay = 0
			c.put(dead, moved)
			continue
		}
		m.Receives++
		c.serial++
		m.handle = fmt.Sprintf("%s#%d", m.ID, c.serial)
		if m.first.IsZero() {
			m.first = now
		}
		if !f.Duplicate || q.fifo {
			m.visible, m.inFlight = now.Add(visibility), true
		}
		out = append(out, m.show(q, in))
		if id := in.ReceiveRequestAttemptId; id != "" && q.fifo {
			a := q.attempts[id]
			q.attempts[id] = attempt{now, append(a.given, m), append(a.handles, m.handle)}
		}
	}
	return out
}

// again gives what a receive with the same attempt id was given, as long as nothing has happened to it.
func (q *queue) again(in receiveRequest, now time.Time, visibility time.Duration) (out []map[string]any) {
	a, ok := q.attempts[in.ReceiveRequestAttemptId]
	if !ok || now.Sub(a.at) > dedupWindow {
		return nil
	}
	for i, m := range a.given {
		if q.byID[m.ID] != m || m.handle != a.handles[i] || !m.flying(now) {
			delete(q.attempts, in.ReceiveRequestAttemptId)
			return nil
		}
	}
	for _, m := range a.given {
		m.visible = now.Add(visibility)
		out = append(out, m.show(q, in))
	}
	return out
}

func (m *message) show(q *queue, in receiveRequest) map[string]any {
	system := map[string]string{
		"SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10), "ApproximateReceiveCount": strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10), "SenderId": "AIDAEXAMPLE",
	}
	for name, value := range map[string]string{"MessageGroupId": m.Group, "MessageDeduplicationId": m.Dedup, "AWSTraceHeader": m.Trace} {
		if value != "" {
			system[name] = value
		}
	}
	if q.fifo {
		system["SequenceNumber"] = fmt.Sprintf("%020d", m.serial)
	}
	wanted := append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)
	if !slices.Contains(wanted, "All") {
		for name := range system {
			if !slices.Contains(wanted, name) {
				delete(system, name)
			}
		}
	}
	out := map[string]any{"MessageId": m.ID, "ReceiptHandle": m.handle, "Body": m.Body, "MD5OfBody": sum(m.Body), "Attributes": system}
	if len(m.Attributes) > 0 && len(in.MessageAttributeNames) > 0 {
		out["MessageAttributes"] = m.Attributes
	}
	return out
}

func (q *queue) remove(m *message) {
	delete(q.byID, m.ID)
	if i := slices.Index(q.messages, m); i >= 0 {
		q.messages = slices.Delete(q.messages, i, i+1)
	}
}

// byHandle gives the message of a receipt handle; newest is whether no later receive gave another.
func (q *queue) byHandle(handle string) (m *message, newest bool, err error) {
	id, _, ok := strings.Cut(handle, "#")
	if !ok {
		return nil, false, refuse("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	if m := q.byID[id]; m != nil {
		return m, m.handle == handle, nil
	}
	return nil, false, nil
}

func (c *Cloud) deleteMessage(in sendEntry) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return c.deleteOne(q, in)
}

// deleteOne: with an old handle a standard queue says yes and deletes nothing, and a FIFO queue refuses one whose time is
// over.
func (c *Cloud) deleteOne(q *queue, in sendEntry) (map[string]string, error) {
	m, newest, err := q.byHandle(in.ReceiptHandle)
	switch {
	case err != nil:
		return nil, err
	case m == nil:
		return nil, nil
	case q.fifo && (!newest || !m.flying(time.Now())):
		return nil, refuse(codeParameter, "Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", in.ReceiptHandle)
	case newest:
		q.remove(m)
		q.deleted++
		c.rouse() // a FIFO group may be free now
	}
	return nil, nil
}

func (c *Cloud) deleteBatch(in batchRequest, f Fault) (any, error) {
	return c.batch(in, f, c.deleteOne)
}

func (c *Cloud) changeVisibility(in sendEntry) (any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q, err := c.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return c.changeOne(q, in)
}

func (c *Cloud) changeOne(q *queue, in sendEntry) (map[string]string, error) {
	m, newest, err := q.byHandle(in.ReceiptHandle)
	now := time.Now()
	timeout := time.Duration(in.VisibilityTimeout) * time.Second
	switch {
	case err != nil:
		return nil, err
	case m == nil || !newest:
		return nil, refuse(codeParameter, "Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", in.ReceiptHandle)
	case !m.flying(now):
		return nil, refuse("MessageNotInflight", "The message referred to isn't in flight.")
	case now.Add(timeout).Sub(m.first) > maxVisibility && m.Receives == 1:
		return nil, refuse(codeParameter, "Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", in.VisibilityTimeout)
	}
	m.visible = now.Add(timeout)
	if timeout == 0 {
		m.inFlight = false
	}
	c.rouse()
	return nil, nil
}

func (c *Cloud) changeBatch(in batchRequest, f Fault) (any, error) {
	return c.batch(in, f, c.changeOne)
}
