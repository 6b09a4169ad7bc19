package admin_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/leatdev/leat/pipeline/admin"
	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/eventstore/memory"
	"github.com/leatdev/leat/pipeline/eventstore/postgres"
	"github.com/leatdev/leat/pipeline/eventstore/postgres/pgtest"
	"github.com/leatdev/leat/pipeline/eventstore/sqlite"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// backends are the stores that the API is tried on.
var backends = map[string]func(t testing.TB) eventstore.Store{
	"memory": func(testing.TB) eventstore.Store { return memory.Open(memory.Options{}) },
	"sqlite": func(t testing.TB) eventstore.Store {
		st, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return st
	},
	"postgres": func(t testing.TB) eventstore.Store {
		st, err := postgres.Open(t.Context(), postgres.Config{DSN: pgtest.Shared(t).DSN(), Schema: pgtest.Schema()})
		if err != nil {
			t.Fatal(err)
		}
		return st
	},
}

// serving is a daemon with one store, "main", on a real socket.
func serving(t testing.TB, st eventstore.Store) string {
	t.Helper()
	s := admin.New(admin.Options{})
	s.Attach(&admin.Daemon{Store: func(name string) (eventstore.Store, bool) { return st, name == "main" }})
	srv := httptest.NewServer(s)
	t.Cleanup(func() { srv.Close(); _ = st.Close() })
	return srv.URL
}

// Thirty writers of one revision: one is told 201, and twenty-nine 409, whatever the store.
func TestRaceOfThirty(t *testing.T) {
	const writers, rounds = 30, 100
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			url := serving(t, open(t))
			transport := &http.Transport{MaxIdleConnsPerHost: writers}
			defer transport.CloseIdleConnections()
			send := func(method, path, body string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				res, err := transport.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return 0, ""
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				return res.StatusCode, string(b)
			}
			_, made := send("POST", "/streams/race", `{"initialEvent":{"eventType":"a","payload":"1"}}`)
			id := answer{body: made}
			stream, _, _ := id.stream(t)
			for round := range rounds {
				path := fmt.Sprintf("/streams/race/%s/events/%d", stream, round+2)
				var mu sync.Mutex
				got := map[int]int{}
				var wg sync.WaitGroup
				start := make(chan struct{})
				for w := range writers {
					wg.Go(func() {
						<-start
						status, _ := send("PUT", path, fmt.Sprintf(`{"event":{"eventType":"w","payload":"%d"}}`, w))
						mu.Lock()
						defer mu.Unlock()
						got[status]++
					})
				}
				close(start)
				wg.Wait()
				if got[201] != 1 || got[409] != writers-1 {
					t.Fatalf("round %d: %v", round, got)
				}
			}
		})
	}
}
