package sqs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/leatdev/leat/config"
	"github.com/leatdev/leat/pipeline/event"
)

// Pointers says what becomes of messages whose body an extended client put into S3.
type Pointers struct {
	Mode    string   `yaml:"mode,omitempty" default:"fetch" enum:"fetch,keep" doc:"fetch: the event is the object's content; keep: it is the pointer"`
	Delete  bool     `yaml:"delete,omitempty" doc:"delete the object once its message is deleted"`
	Buckets []string `yaml:"buckets,omitempty" doc:"the buckets that are read; messages that point elsewhere are poisoned. Default: any that the credentials let us read"`
}

const keepPointers = "keep"

// Validate implements config.Validator.
func (p Pointers) Validate() error {
	for _, b := range p.Buckets {
		if len(b) < 3 || strings.ContainsAny(b, "/: ") {
			return &config.FieldError{Field: "buckets", Err: fmt.Errorf("%q is no name of a bucket", b)}
		}
	}
	return nil
}

type object struct{ bucket, key string }

func (o *object) String() string { return "s3://" + o.bucket + "/" + o.key }

// objects reads and deletes objects of S3, by plain requests that the SDK's signer signs: the two calls do not need a
// client of 4 MB.
type objects struct {
	cfg      awssdk.Config
	endpoint string // "": S3's own
	pointers Pointers
	limit    int
	log      *slog.Logger
	signer   *v4.Signer

	ctx     context.Context // of deletes
	quit    context.CancelFunc
	slots   chan struct{}
	deletes sync.WaitGroup

	mu      sync.Mutex
	regions map[string]string // by bucket, where it is another
	warned  time.Time
}

func newObjects(cfg awssdk.Config, endpoint string, p Pointers, limit int, log *slog.Logger) *objects {
	o := &objects{cfg: cfg, endpoint: strings.TrimSuffix(endpoint, "/"), pointers: p, limit: limit, log: log, signer: v4.NewSigner(func(s *v4.SignerOptions) {
		s.DisableURIPathEscaping = true // S3 signs the path as it is sent
	}), regions: map[string]string{}, slots: make(chan struct{}, settleCalls)}
	o.ctx, o.quit = context.WithCancel(context.Background())
	return o
}

const objectWithin = 20 * time.Second

// fetch gives the content of an object. Errors are poison where no repeat helps.
func (o *objects) fetch(ctx context.Context, at *object) ([]byte, error) {
	if b := o.pointers.Buckets; len(b) > 0 && !slices.Contains(b, at.bucket) {
		return nil, event.PoisonAs(event.CodeBody, fmt.Errorf("sqs: the body is at %s, and s3.buckets does not name that bucket", at))
	}
	ctx, cancel := context.WithTimeout(ctx, objectWithin)
	defer cancel()
	res, err := o.call(ctx, http.MethodGet, at)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.ContentLength > int64(o.limit) {
		return nil, event.PoisonAs(event.CodeTooLarge, fmt.Errorf("sqs: the body at %s has %d bytes, an event may have %d (limits.event_size)", at, res.ContentLength, o.limit))
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, int64(o.limit)+1))
	if err != nil {
		return nil, fmt.Errorf("sqs: read %s: %w", at, err)
	}
	if len(content) > o.limit {
		return nil, event.PoisonAs(event.CodeTooLarge, fmt.Errorf("sqs: the body at %s is larger than an event may be, %d bytes (limits.event_size)", at, o.limit))
	}
	return content, nil
}

// call makes one request, and a second where the bucket is in another region.
func (o *objects) call(ctx context.Context, method string, at *object) (*http.Response, error) {
	for moved := false; ; moved = true {
		o.mu.Lock()
		region := o.regions[at.bucket]
		o.mu.Unlock()
		if region == "" {
			region = o.cfg.Region
		}
		res, err := o.send(ctx, method, at, region)
		if err != nil {
			return nil, fmt.Errorf("sqs: %s %s: %w", strings.ToLower(method), at, err)
		}
		if res.StatusCode < http.StatusMultipleChoices {
			return res, nil
		}
		words, _ := io.ReadAll(io.LimitReader(res.Body, 4096)) // the status says enough
		_ = res.Body.Close()
		if other := res.Header.Get("X-Amz-Bucket-Region"); other != "" && other != region && !moved {
			o.mu.Lock()
			o.regions[at.bucket] = other
			o.mu.Unlock()
			continue
		}
		code := between(string(words), "<Code>", "</Code>")
		if code == "" {
			code = res.Status
		}
		switch {
		case res.StatusCode == http.StatusNotFound:
			return nil, event.PoisonAs(event.CodeBody, fmt.Errorf("sqs: the body at %s is gone: %s", at, code))
		case res.StatusCode == http.StatusForbidden:
			return nil, fmt.Errorf("sqs: %s: %s; the role or user needs s3:%sObject there: %w", at, code, map[string]string{http.MethodGet: "Get", http.MethodDelete: "Delete"}[method], errDenied)
		}
		return nil, fmt.Errorf("sqs: %s %s: %s", strings.ToLower(method), at, code)
	}
}

var errDenied = errors.New("denied")

// nothing is the digest of an empty body.
var nothing = func() string {
	sum := sha256.Sum256(nil)
	return hex.EncodeToString(sum[:])
}()

func (o *objects) send(ctx context.Context, method string, at *object, region string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, o.address(at, region), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Content-Sha256", nothing)
	credentials, err := o.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.signer.SignHTTP(ctx, credentials, req, nothing, "s3", region, time.Now()); err != nil {
		return nil, err
	}
	return o.cfg.HTTPClient.Do(req)
}

// address gives the URL of an object: below the bucket's own host, or by path at an endpoint and for buckets whose dots
// no certificate covers.
func (o *objects) address(at *object, region string) string {
	key := escapeKey(at.key)
	switch domain := "amazonaws.com"; {
	case o.endpoint != "":
		return o.endpoint + "/" + at.bucket + "/" + key
	case strings.HasPrefix(region, "cn-"):
		return "https://" + at.bucket + ".s3." + region + "." + domain + ".cn/" + key
	case strings.Contains(at.bucket, "."):
		return "https://s3." + region + "." + domain + "/" + at.bucket + "/" + key
	default:
		return "https://" + at.bucket + ".s3." + region + "." + domain + "/" + key
	}
}

// escapeKey escapes a key as S3 signs it: all but the unreserved characters and the slash.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(p), "+", "%20")
	}
	return strings.Join(parts, "/")
}

func between(s, from, to string) string {
	_, rest, ok := strings.Cut(s, from)
	if !ok {
		return ""
	}
	inner, _, _ := strings.Cut(rest, to)
	return inner
}

// remove deletes an object whose message is deleted, where that was asked for. It does not wait.
func (o *objects) remove(at *object) {
	if at == nil || !o.pointers.Delete {
		return
	}
	o.deletes.Go(func() {
		o.slots <- struct{}{}
		defer func() { <-o.slots }()
		for n := 1; ; n++ {
			ctx, cancel := context.WithTimeout(o.ctx, objectWithin)
			res, err := o.call(ctx, http.MethodDelete, at)
			cancel()
			if err == nil {
				_ = res.Body.Close()
				return
			}
			if event.IsPoison(err) { // gone already
				return
			}
			if n == 5 || !sleep(o.ctx, backoff(n, 200*time.Millisecond, 5*time.Second)) {
				o.log.Warn("sqs: an object whose message is settled could not be deleted; it stays", "object", at.String(), "error", err)
				return
			}
		}
	})
}

// finish waits for deletes, at most for a while.
func (o *objects) finish(within time.Duration) {
	if o == nil {
		return
	}
	done := make(chan struct{})
	go func() { o.deletes.Wait(); close(done) }()
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	}
	o.quit()
	<-done
}

// say logs why bodies cannot be had, now and then.
func (o *objects) say(err error) {
	o.mu.Lock()
	silent := time.Since(o.warned) < 30*time.Second
	if !silent {
		o.warned = time.Now()
	}
	o.mu.Unlock()
	if !silent {
		o.log.Error("sqs: a body in S3 cannot be had; its message goes back to the queue", "error", err)
	}
}
