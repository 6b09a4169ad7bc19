package putevents

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/leatdev/leat/pipeline/event"
	"github.com/leatdev/leat/pipeline/pattern"
	"github.com/leatdev/leat/pipeline/rawjson"
)

// maxBody bounds a request: entries at their limit, with escapes.
const maxBody = 4 << 20

// fault is an answer to a request that fails whole.
type fault struct {
	status  int
	code    string
	message string
}

func invalidRequest(format string, args ...any) *fault {
	return &fault{http.StatusBadRequest, "ValidationException", fmt.Sprintf(format, args...)}
}

// ServeHTTP answers what an AWS client asks a bus.
func (bs *buses) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", event.NewID())
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			answerFault(w, invalidRequest("Total size of the entries in the request is over the limit."))
		}
		return // else the client is gone
	}
	service, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var out any
	var f *fault
	switch {
	case service != "AWSEvents":
		f = &fault{http.StatusBadRequest, "UnknownOperationException", "this is leat's event bus: X-Amz-Target must name an operation of AWSEvents"}
	case rawjson.KindOf(body) != rawjson.KindObject || rawjson.Check(body) != nil:
		f = &fault{http.StatusBadRequest, "SerializationException", "the body is no JSON object"}
	case op == "PutEvents":
		out, f = bs.putEvents(r, body)
	case op == "DescribeEventBus":
		out, f = bs.describe(r, body)
	case op == "ListEventBuses":
		out, f = bs.listBuses(r, body)
	case op == "TestEventPattern":
		out, f = testPattern(body)
	default:
		f = &fault{http.StatusBadRequest, "UnknownOperationException", "leat's event bus takes events; rules are pipelines, in YAML"}
	}
	if f != nil {
		answerFault(w, f)
		return
	}
	answer(w, http.StatusOK, out)
}

func answerFault(w http.ResponseWriter, f *fault) {
	w.Header().Set("X-Amzn-Errortype", f.code)
	answer(w, f.status, map[string]string{"__type": f.code, "message": f.message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone sends again
}

func decode(body []byte, into any) *fault {
	err := json.Unmarshal(body, into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return &fault{http.StatusBadRequest, "SerializationException", wrong.Value + " can not be converted to " + wrong.Field}
	case err != nil:
		return &fault{http.StatusBadRequest, "SerializationException", "the body is not what the operation takes"}
	}
	return nil
}

// region gives the one that the request was signed for.
func region(r *http.Request) string {
	_, scope, ok := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	if part := strings.Split(scope, "/"); ok && len(part) >= 5 && busName.MatchString(part[2]) {
		return part[2]
	}
	return defaultRegion
}

func arn(region, bus string) string {
	return "arn:aws:events:" + region + ":" + account + ":event-bus/" + bus
}

type busDescription struct {
	Name             string
	Arn              string
	CreationTime     int64
	LastModifiedTime int64
}

func (b *bus) describe(region string) busDescription {
	return busDescription{Name: b.name, Arn: arn(region, b.name), CreationTime: b.born.Unix(), LastModifiedTime: b.born.Unix()}
}

func (bs *buses) describe(r *http.Request, body []byte) (any, *fault) {
	var in struct{ Name string }
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	name := (&entry{EventBusName: in.Name}).bus()
	b := bs.bus(name)
	if b == nil {
		return nil, &fault{http.StatusBadRequest, "ResourceNotFoundException", "Event bus " + name + " does not exist."}
	}
	return b.describe(region(r)), nil
}

func (bs *buses) listBuses(r *http.Request, body []byte) (any, *fault) {
	var in struct{ NamePrefix string }
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	out := struct{ EventBuses []busDescription }{[]busDescription{}}
	for _, b := range bs.list() {
		if strings.HasPrefix(b.name, in.NamePrefix) {
			out.EventBuses = append(out.EventBuses, b.describe(region(r)))
		}
	}
	return out, nil
}

func testPattern(body []byte) (any, *fault) {
	var in struct{ Event, EventPattern string }
	if f := decode(body, &in); f != nil {
		return nil, f
	}
	p, err := pattern.CompileString(in.EventPattern)
	if err != nil {
		return nil, &fault{http.StatusBadRequest, "InvalidEventPatternException", err.Error()}
	}
	for _, field := range []string{"id", "account", "source", "time", "region", "detail-type"} {
		if v, ok := rawjson.Get([]byte(in.Event), field); !ok || rawjson.KindOf(v) != rawjson.KindString || rawjson.Check([]byte(in.Event)) != nil {
			return nil, invalidRequest("Parameter Event is not valid.")
		}
	}
	ok, err := p.Match([]byte(in.Event))
	if err != nil {
		return nil, invalidRequest("Parameter Event is not valid.")
	}
	return struct{ Result bool }{ok}, nil
}
