// Package pgtest starts a real PostgreSQL for tests: a cluster of its own in a directory of its own, on a free port,
// with fsync on, as a user that is not root. It is found on PATH or where distributions put it.
//
// Where there is none, a test is skipped with a line that says so; where the environment variable LEAT_TEST_REQUIRE
// names "postgres", it fails instead. LEAT_TEST_POSTGRES has settings for the server, "shared_buffers=1GB …".
package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leatdev/leat/pipeline/porttest"
)

// Server is a running PostgreSQL.
type Server struct {
	bin, dir, port string
	release        func() // lets the port go

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
	log  []string
}

const patience = 2 * time.Minute

var shared struct {
	sync.Mutex
	s   *Server
	err error
}

var schemas atomic.Int64

// Shared gives the server that all tests of a process share; Main stops it.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.s == nil && shared.err == nil {
		shared.s, shared.err = start()
	}
	require(t, shared.err)
	return shared.s
}

// Main runs a package's tests and stops the shared server. It is called from TestMain with os.Exit around it.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.s != nil {
		shared.s.remove()
	}
	return code
}

// New gives a server of the test's own, which it may stop.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := start()
	require(t, err)
	t.Cleanup(s.remove)
	return s
}

func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errAbsent) && !strings.Contains(os.Getenv("LEAT_TEST_REQUIRE"), "postgres"):
		t.Skipf("SKIPPED, NOTHING WAS TESTED AGAINST POSTGRESQL: %v", err)
	default:
		t.Fatalf("pgtest: %v", err)
	}
}

var errAbsent = errors.New("no PostgreSQL server is installed (initdb and postgres are neither on PATH nor in /usr/lib/postgresql)")

// binaries gives the directory of the newest PostgreSQL.
func binaries() (string, error) {
	if p, err := exec.LookPath("initdb"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(p), "postgres")); err == nil {
				return filepath.Dir(p), nil
			}
		}
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	if len(found) == 0 || runtime.GOOS == "windows" {
		return "", errAbsent
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func start() (_ *Server, err error) {
	s := &Server{}
	if s.bin, err = binaries(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "leat-pg-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.remove()
		}
	}()
	if err := giveAway(s.dir); err != nil {
		return nil, err
	}
	init := s.command("initdb", "-D", s.data(), "-U", "leat", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	addr, release, err := porttest.Take()
	if err != nil {
		return nil, err
	}
	s.release = release
	if _, s.port, err = net.SplitHostPort(addr); err != nil {
		return nil, err
	}
	return s, s.Start()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "PGTZ=UTC")
	unprivileged(cmd)
	return cmd
}

// Start starts a server that was stopped, and returns when it takes connections.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	args := []string{"-D", s.data(), "-p", s.port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=on", "-c", "max_connections=200", "-c", "logging_collector=off", "-c", "max_wal_size=2GB"}
	for _, setting := range strings.Fields(os.Getenv("LEAT_TEST_POSTGRES")) {
		args = append(args, "-c", setting)
	}
	cmd := s.command("postgres", args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		told := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.note(lines.Text())
			if !told && strings.Contains(lines.Text(), "database system is ready to accept connections") {
				told = true
				close(ready)
			}
		}
		_ = cmd.Wait()
	}()
	s.cmd, s.done = cmd, done
	select {
	case <-ready:
		return nil
	case <-done:
		return fmt.Errorf("postgres ended: %s", s.tail())
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		return fmt.Errorf("postgres is not ready after %s: %s", patience, s.tail())
	}
}

var logs sync.Mutex

func (s *Server) note(line string) {
	logs.Lock()
	defer logs.Unlock()
	if s.log = append(s.log, line); len(s.log) > 200 {
		s.log = s.log[100:]
	}
}

func (s *Server) tail() string {
	logs.Lock()
	defer logs.Unlock()
	return strings.Join(s.log[max(0, len(s.log)-20):], "\n")
}

// Stop ends the server and waits for its end: at once and without a checkpoint, as after a crash, where immediate is
// set; else it breaks off what is under way.
func (s *Server) Stop(immediate bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(stopSignal(immediate))
	select {
	case <-s.done:
	case <-time.After(patience):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *Server) remove() {
	s.Stop(true)
	_ = os.RemoveAll(s.dir)
	if s.release != nil {
		s.release()
	}
}

// DSN names the database "postgres" of the server.
func (s *Server) DSN() string { return s.Database("postgres") }

// Database names a database of the server.
func (s *Server) Database(name string) string {
	return fmt.Sprintf("postgres://leat:s3cret@127.0.0.1:%s/%s?sslmode=disable", s.port, name)
}

// Schema gives a name that no other call has given.
func Schema() string { return fmt.Sprintf("leat_%d", schemas.Add(1)) }

// Exec runs statements on a connection of its own to a database ("": postgres).
func (s *Server) Exec(t testing.TB, database, sql string) {
	t.Helper()
	c := s.Conn(t, database)
	if _, err := c.Exec(context.Background(), sql); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	_ = c.Close(context.Background())
}

// Conn gives a connection, closed when the test ends.
func (s *Server) Conn(t testing.TB, database string) *pgx.Conn {
	t.Helper()
	if database == "" {
		database = "postgres"
	}
	c, err := pgx.Connect(context.Background(), s.Database(database))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// Tool runs a program of PostgreSQL's (pg_dump, psql) with the server's address in its environment, and gives what it
// prints.
func (s *Server) Tool(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+s.port, "PGUSER=leat")
	cmd.Stdin = strings.NewReader(stdin)
	var out, fault strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &fault
	if err := cmd.Run(); err != nil {
		t.Fatalf("pgtest: %s: %v: %s", name, err, fault.String())
	}
	return out.String()
}
