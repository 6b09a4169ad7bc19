package sns

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	topic = "arn:aws:sns:eu-west-1:123456789012:orders"
	fifo  = topic + ".fifo"
)

// published is a message that the fake topic took.
type published struct {
	Body, Subject, Group, Dedup string
	Attributes                  map[string]string
}

// fakeTopic speaks as much of SNS' query protocol as the sink does, keeps the service's rules, and fails as it is told.
type fakeTopic struct {
	mu    sync.Mutex
	taken []published
	seen  map[string]bool // deduplication ids
	calls int
	// fail names the code that the i-th entry of the n-th call fails with; "": none.
	fail func(n, i int) string
	// refuse names the code that the n-th call fails with as a whole.
	refuse func(n int) (code string, status int)
	down   bool
}

func (f *fakeTopic) Break(testing.TB) { f.mu.Lock(); defer f.mu.Unlock(); f.down = true }
func (f *fakeTopic) Mend(testing.TB)  { f.mu.Lock(); defer f.mu.Unlock(); f.down = false }
func (f *fakeTopic) Bodies(testing.TB) (out []string) {
	for _, m := range f.messages() {
		out = append(out, m.Body)
	}
	return out
}

func (f *fakeTopic) messages() []published {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]published(nil), f.taken...)
}

func (f *fakeTopic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	in, err := url.ParseQuery(string(body))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>made by the test</Message></Error></ErrorResponse>", code)
	}
	op := in.Get("Action")
	switch {
	case f.down:
		refuse(http.StatusServiceUnavailable, "ServiceUnavailable")
		return
	case in.Get("TopicArn") != topic && in.Get("TopicArn") != fifo:
		refuse(http.StatusNotFound, "NotFound")
		return
	case op == "GetTopicAttributes":
		_, _ = io.WriteString(w, "<GetTopicAttributesResponse><GetTopicAttributesResult><Attributes/></GetTopicAttributesResult></GetTopicAttributesResponse>")
		return
	}
	n := f.calls
	f.calls++
	if f.refuse != nil {
		if code, status := f.refuse(n); code != "" {
			refuse(status, code)
			return
		}
	}
	f.publish(w, in, n, refuse)
}

func (f *fakeTopic) publish(w io.Writer, in url.Values, n int, refuse func(int, string)) {
	var ok, failed strings.Builder
	total := 0
	var batch []published
	var ids []string
	for i := 1; ; i++ {
		at := fmt.Sprintf("PublishBatchRequestEntries.member.%d.", i)
		id := in.Get(at + "Id")
		if id == "" {
			break
		}
		m := published{Body: in.Get(at + "Message"), Subject: in.Get(at + "Subject"), Group: in.Get(at + "MessageGroupId"), Dedup: in.Get(at + "MessageDeduplicationId"), Attributes: map[string]string{}}
		total += len(m.Body)
		for j := 1; ; j++ {
			entry := fmt.Sprintf("%sMessageAttributes.entry.%d.", at, j)
			name := in.Get(entry + "Name")
			if name == "" {
				break
			}
			m.Attributes[name] = in.Get(entry + "Value.StringValue")
			total += len(name) + len("String") + len(m.Attributes[name])
		}
		batch, ids = append(batch, m), append(ids, id)
	}
	switch {
	case len(batch) == 0:
		refuse(http.StatusBadRequest, "EmptyBatchRequest")
		return
	case len(batch) > 10:
		refuse(http.StatusBadRequest, "TooManyEntriesInBatchRequest")
		return
	case total > 256<<10:
		refuse(http.StatusBadRequest, "BatchRequestTooLong")
		return
	}
	for i, m := range batch {
		code := ""
		if f.fail != nil {
			code = f.fail(n, i)
		}
		if in.Get("TopicArn") == fifo && (m.Group == "" || m.Dedup == "") {
			code = "InvalidParameter"
		}
		if code != "" {
			fmt.Fprintf(&failed, "<member><Id>%s</Id><Code>%s</Code><Message>m</Message><SenderFault>true</SenderFault></member>", ids[i], code)
			continue
		}
		if m.Dedup == "" || !f.seen[m.Dedup] {
			f.taken = append(f.taken, m)
		}
		if f.seen == nil {
			f.seen = map[string]bool{}
		}
		f.seen[m.Dedup] = true
		fmt.Fprintf(&ok, "<member><Id>%s</Id><MessageId>%d</MessageId></member>", ids[i], time.Now().UnixNano())
	}
	_, _ = fmt.Fprintf(w, "<PublishBatchResponse><PublishBatchResult><Successful>%s</Successful><Failed>%s</Failed></PublishBatchResult></PublishBatchResponse>", ok.String(), failed.String())
}

// direct carries requests to a fake without a network.
type direct struct{ to http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.to.ServeHTTP(w, r)
	return w.Result(), nil
}
