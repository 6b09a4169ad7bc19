package putevents

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/rawjson"
	"github.com/leatdev/leat/sources"
	"github.com/leatdev/leat/sources/sourcetest"
)

// clients publish as an AWS SDK does, until all entries are accepted.
type clients struct{ *sourcetest.Senders }

func (c clients) Open(t testing.TB, env sources.Env) sources.Source {
	t.Helper()
	env.Mount = c.Mount
	s, err := Open(t.Context(), Config{}, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(ctx context.Context, h http.Handler, bodies []string) (again []string) {
	var in struct{ Entries []map[string]string }
	for _, b := range bodies {
		detail, _ := rawjson.Get([]byte(b), "detail")
		in.Entries = append(in.Entries, map[string]string{"Source": "sourcetest", "DetailType": "Tested", "Detail": string(detail)})
	}
	body, _ := json.Marshal(in)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(string(body)))
	req.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	var out answerPut
	if rec.Code != http.StatusOK || json.Unmarshal(rec.Body.Bytes(), &out) != nil {
		return bodies
	}
	for i, r := range out.Entries {
		if r.failed() {
			again = append(again, bodies[i])
		}
	}
	return again
}

// Body gives the body again that was taken apart for the entry.
func (clients) Body(e event.Event) string {
	n, _ := rawjson.Get(e.Raw, "detail", "n")
	return fmt.Sprintf(`{"id":"e-%06s","source":"sourcetest","detail-type":"Tested","detail":{"n":%s}}`, n, n)
}

func TestConformance(t *testing.T) {
	sourcetest.Run(t, sourcetest.Features{Live: true, Endless: true, Unordered: true, Redelivers: true}, func(t *testing.T) sourcetest.Origin {
		return clients{sourcetest.NewSenders(t, put)}
	})
}
