package mototest

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// OneAtATime gives the URL of a proxy that passes one request after another to an emulator. Moto answers in threads that
// no lock keeps apart: its TransactWriteItems of DynamoDB, where it is refused, puts back a copy of the table from before
// it began, and what others wrote since is gone.
func OneAtATime(t testing.TB, emulator string) string {
	t.Helper()
	u, err := url.Parse(emulator)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	proxy := httputil.NewSingleHostReverseProxy(u)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}
