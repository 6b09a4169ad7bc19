package awsfake

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Region is where this cloud's queues, buses and buckets are.
const Region = "eu-west-1"

// PutObject puts an object into S3.
func (c *Cloud) PutObject(bucket, key, content string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[bucket+"/"+key] = content
}

// Objects gives how many objects there are.
func (c *Cloud) Objects() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.objects)
}

// s3 answers GET and DELETE of an object, by the bucket's host or by path. A request that is not signed for S3 in this
// region is refused, with the region in the answer.
func (c *Cloud) s3(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if bucket, _, ok := strings.Cut(r.Host, ".s3."); ok {
		name = bucket + "/" + name
	}
	op := map[string]string{http.MethodGet: "GetObject", http.MethodDelete: "DeleteObject"}[r.Method]
	c.mu.Lock()
	n := c.calls[op]
	c.calls[op]++
	content, ok := c.objects[name]
	c.mu.Unlock()
	fail := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
	}
	fault := c.faults(op, n)
	switch signature := r.Header.Get("Authorization"); {
	case op == "":
		fail(http.StatusMethodNotAllowed, "MethodNotAllowed")
	case fault.Code != "":
		fail(fault.Status, fault.Code)
	case !strings.Contains(signature, "/s3/aws4_request"):
		fail(http.StatusForbidden, "AccessDenied")
	case !strings.Contains(signature, "/"+Region+"/s3/"):
		w.Header().Set("X-Amz-Bucket-Region", Region)
		fail(http.StatusMovedPermanently, "PermanentRedirect")
	case r.Method == http.MethodDelete:
		c.mu.Lock()
		delete(c.objects, name)
		c.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	case !ok:
		fail(http.StatusNotFound, "NoSuchKey")
	default:
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, content)
	}
}
