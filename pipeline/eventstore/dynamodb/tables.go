package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leatdev/leat/pipeline/eventstore"
	"github.com/leatdev/leat/pipeline/table"
)

// Tables are the read models in the store's own DynamoDB table. It is safe for concurrent use.
//
// A write is one transaction with the table's checkpoint where a hundred items hold it. A larger one goes by a journal:
// its rows are written down aside, one transaction moves the checkpoint and names the journal, then the rows are put in
// their places, which can be done again. Whoever finds a journal that is still named finishes it, and readers look
// through it, so that a write is seen whole or not at all.
type Tables struct{ s *Store }

var (
	_ table.Store   = (*Tables)(nil)
	_ table.Renamer = (*Tables)(nil)
)

const tableDocs = "table"

// models is a name's document: the live table, and the one that is being built in its place.
type models struct {
	Live     table.Info
	Building *table.Info `json:",omitempty"`
	Journal  string      `json:",omitempty"`
}

func (m *models) infos() []table.Info {
	infos := []table.Info{m.Live}
	if m.Building != nil {
		infos = append(infos, *m.Building)
		infos[0].Building, infos[1].Building = m.Building.Def.Version, m.Building.Def.Version
	}
	for i := range infos {
		infos[i].Rows, infos[i].Live = -1, i == 0
		infos[i].Updated = infos[i].Updated.UTC()
	}
	return infos
}

func (m *models) at(i int) *table.Info {
	if i == 0 {
		return &m.Live
	}
	return m.Building
}

func modelKey(name string) docKey { return docKey{tableDocs, strings.ToLower(name)} }

// find gives a name's document, and which of its tables d means.
func (t *Tables) find(ctx context.Context, c *change, d *table.Def) (*models, int, error) {
	var m models
	known, err := load(ctx, c, modelKey(d.Name), &m)
	if err != nil {
		return nil, 0, err
	}
	if !known {
		return nil, 0, t.unknown(ctx, d.Name)
	}
	i, err := table.Find(m.infos(), d)
	return &m, i, err
}

func (t *Tables) unknown(ctx context.Context, name string) error {
	all, err := list[models](ctx, t.s.newChange(), tableDocs)
	if err != nil {
		return err
	}
	var have []string
	for _, m := range all {
		have = append(have, m.Live.Def.Name)
	}
	slices.Sort(have)
	return &table.UnknownError{Kind: "table", Name: name, Have: have}
}

// WithStore implements table.Store.
func (t *Tables) WithStore() bool { return true }

// Ensure implements table.Store.
func (t *Tables) Ensure(ctx context.Context, d *table.Def, definition, relay, logID string) (out table.Info, err error) {
	gone := 0
	err = t.s.update(ctx, func(c *change) error {
		gone = 0
		var m models
		known, err := load(ctx, c, modelKey(d.Name), &m)
		if err != nil {
			return err
		}
		var stored []table.Info
		if known {
			stored = m.infos()
		}
		i, def, err := table.Admit(stored, d, definition, relay, logID)
		if err != nil {
			return err
		}
		fresh := table.Info{Def: def, Definition: definition, Relay: relay, LogID: logID, Updated: t.s.now().UTC()}
		switch {
		case i >= 0:
			m.at(i).Def = def
		case !known:
			m.Live, i = fresh, 0
		default:
			if m.Building != nil {
				gone = m.Building.Def.Serial()
			}
			m.Building, i = &fresh, 1
		}
		c.store(modelKey(d.Name), m)
		out = m.infos()[i]
		return nil
	})
	if err == nil && gone > 0 && gone != d.Serial() {
		t.dropRows(d.Name, gone)
	}
	return out, t.refusal(err)
}

// refusal gives an error of the store in the tables' words.
func (t *Tables) refusal(err error) error {
	if errors.Is(err, eventstore.ErrGone) {
		return table.ErrGone
	}
	return err
}

// Apply implements table.Store.
func (t *Tables) Apply(ctx context.Context, w *table.Write) error {
	journal, err := t.commit(ctx, w)
	if errors.Is(err, errJournal) {
		if err := t.finish(ctx, w.Def.Name); err != nil {
			return err
		}
		return t.Apply(ctx, w)
	}
	if err == nil && journal != "" {
		err = t.finish(ctx, w.Def.Name)
	}
	return t.refusal(err)
}

// commit makes the write's one transaction, and gives the name of its journal where it has one.
func (t *Tables) commit(ctx context.Context, w *table.Write) (journal string, err error) {
	err = t.s.update(ctx, func(c *change) error {
		m, i, err := t.find(ctx, c, w.Def)
		if err != nil {
			return err
		}
		if m.Journal != "" {
			return errJournal
		}
		info := m.at(i)
		if w.Checkpoint != nil {
			if err := info.Check(w.Checkpoint); err != nil {
				return err
			}
		}
		items, err := t.items(ctx, c, &info.Def, w.Def, w.Put, w.Delete)
		if err != nil {
			return err
		}
		if gone, err := t.s.unpark(ctx, c, w.Unpark); err != nil {
			return err
		} else if gone {
			return table.ErrGone
		}
		if err := t.s.park(ctx, c, w.Park); err != nil {
			return err
		}
		if cp := w.Checkpoint; cp != nil {
			info.Position, info.Epoch, info.Updated = cp.To, cp.Epoch, t.s.now().UTC()
			if cp.Resent > 0 {
				info.Resent = cp.Resent
			}
		}
		journal = ""
		if weigh(items) > transactBytes/2 || len(items)+len(c.writes())+1 > most {
			if journal, err = t.stage(ctx, items); err != nil {
				return err
			}
			m.Journal = journal
		} else {
			for _, i := range items {
				c.row(i)
			}
		}
		c.store(modelKey(w.Def.Name), m)
		return nil
	})
	return journal, err
}

var errJournal = errors.New("dynamodb: a journal is to be finished first")

// items gives the items of a write. Columns that d does not know keep what they have.
func (t *Tables) items(ctx context.Context, c *change, stored, d *table.Def, put, del []table.Row) ([]item, error) {
	puts, err := d.Fit(put, len(d.Columns))
	if err != nil {
		return nil, err
	}
	dels, err := d.Fit(del, len(d.Key))
	if err != nil {
		return nil, err
	}
	var old map[string]item
	for _, col := range stored.Columns {
		if d.Index(col.Name) < 0 && old == nil {
			keys := make([]table.Row, len(puts))
			for i := range puts {
				keys[i] = puts[i][:len(d.Key)]
			}
			if old, err = t.stand(ctx, c, d, keys); err != nil {
				return nil, err
			}
		}
	}
	items := make([]item, 0, len(puts)+len(dels))
	for _, row := range puts {
		i := rowItem(d, row, columnsOf(old[rowSK(row[:len(d.Key)])]))
		if size := weigh([]item{i}); size > maxItem {
			return nil, fmt.Errorf("table %s: %w: a row of %d bytes; an item of DynamoDB holds 400 KB", d.Name, table.ErrValue, size)
		}
		items = append(items, i)
	}
	for _, k := range dels {
		items = append(items, key(rowsPK(d.Name, d.Serial()), rowSK(k)))
	}
	return items, nil
}

// weigh is about what rows take.
func weigh(items []item) (n int) {
	for _, i := range items {
		n += 200
		for name, v := range columnsOf(i) {
			n += len(name) + len(packValue(v)) + 8
		}
	}
	return n
}

// stand reads rows as they stand, with what the change has written; by sort key.
func (t *Tables) stand(ctx context.Context, c *change, d *table.Def, keys []table.Row) (map[string]item, error) {
	out := map[string]item{}
	var ask []item
	asked := map[string]bool{}
	for _, k := range keys {
		i := key(rowsPK(d.Name, d.Serial()), rowSK(k))
		at := text(i, sk)
		if asked[at] {
			continue
		}
		asked[at] = true
		if written, ok := c.rows[text(i, pk)+"\x00"+at]; ok {
			if columnsOf(written) != nil {
				out[at] = written
			}
			continue
		}
		ask = append(ask, i)
	}
	found, err := t.s.gets(ctx, ask)
	for _, i := range ask {
		c.stood[text(i, pk)+"\x00"+text(i, sk)] = ""
	}
	for _, i := range found {
		out[text(i, sk)] = i
		c.stood[text(i, pk)+"\x00"+text(i, sk)] = text(i, "w")
	}
	return out, err
}

const journalBytes = 300 << 10

// stage writes rows down aside and gives the journal's name.
func (t *Tables) stage(ctx context.Context, items []item) (string, error) {
	name := nonce(10)
	var ws []types.WriteRequest
	var part []jsonRow
	size := 0
	flush := func() error {
		b, err := json.Marshal(part)
		if err != nil {
			return fmt.Errorf("dynamodb: write a journal: %w", err)
		}
		i := key("J#"+name, pad(int64(len(ws))))
		i["rows"] = bin(b)
		ws = append(ws, types.WriteRequest{PutRequest: &types.PutRequest{Item: i}})
		part, size = nil, 0
		return nil
	}
	for _, i := range items {
		n := weigh([]item{i}) + 100
		if len(part) > 0 && size+n > journalBytes {
			if err := flush(); err != nil {
				return "", err
			}
		}
		part, size = append(part, packRow(i)), size+n
	}
	if err := flush(); err != nil {
		return "", err
	}
	// One of them at a time in a call of 16 MB is never too large; the order does not matter.
	return name, t.s.puts(ctx, ws)
}

// journal reads the rows that were staged.
func (t *Tables) journal(ctx context.Context, name string) ([]item, error) {
	pages, err := t.s.all(ctx, query{pk: "J#" + name})
	if err != nil {
		return nil, err
	}
	var out []item
	for _, p := range pages {
		var part []jsonRow
		if err := json.Unmarshal(blob(p, "rows"), &part); err != nil {
			return nil, fmt.Errorf("%w: journal %s: %w", eventstore.ErrCorrupt, name, err)
		}
		for _, r := range part {
			i, err := unpackRow(r)
			if err != nil {
				return nil, err
			}
			out = append(out, i)
		}
	}
	return out, nil
}

// finish puts the rows of a journal in their places and takes its name away.
func (t *Tables) finish(ctx context.Context, name string) error {
	var m models
	known, err := load(ctx, t.s.newChange(), modelKey(name), &m)
	if err != nil || !known || m.Journal == "" {
		return err
	}
	items, err := t.journal(ctx, m.Journal)
	if err != nil {
		return err
	}
	done := m.Journal
	if err := t.place(ctx, name, done, items); err != nil {
		return err
	}
	err = t.s.update(ctx, func(c *change) error {
		var now models
		if known, err := load(ctx, c, modelKey(name), &now); err != nil || !known || now.Journal != done {
			return err
		}
		now.Journal = ""
		c.store(modelKey(name), now)
		return nil
	})
	if err != nil {
		return err
	}
	t.s.back.Go(func() { t.clearLater("J#" + done) })
	return nil
}

// place puts the rows of a journal in their places. Each transaction holds that the journal is still named: another may
// have finished it and gone on, and who was slow must not write over what came behind.
func (t *Tables) place(ctx context.Context, name, journal string, items []item) error {
	some := most - 1
	for wait := raceWait; len(items) > 0; {
		c := t.s.newChange()
		var m models
		if known, err := load(ctx, c, modelKey(name), &m); err != nil || !known || m.Journal != journal {
			return err
		}
		n, bytes := 0, 0
		for n < min(len(items), some) {
			if bytes += weigh(items[n : n+1]); n > 0 && bytes > transactBytes/2 {
				break
			}
			c.row(items[n])
			n++
		}
		c.check(modelKey(name))
		attempt := ctx
		if n > 1 {
			attempt = context.WithValue(ctx, lessKey{}, true)
		}
		switch err := t.s.transact(attempt, c.writes()); {
		case err == nil:
			items, some, wait = items[n:], min(some+max(1, some/8), most-1), raceWait
			continue
		case errors.Is(err, errLess):
			some = max(1, n/2)
		case !isCancelled(err):
			return err
		}
		if !pause(ctx, wait) {
			return ctx.Err()
		}
		wait = min(2*wait, maxWait)
	}
	return nil
}

// clear deletes a partition.
func (t *Tables) clear(ctx context.Context, partition string) error {
	return t.s.pages(ctx, query{pk: partition}, func(page []item) (bool, error) {
		ws := make([]types.WriteRequest, len(page))
		for n, i := range page {
			ws[n] = deletion(i)
		}
		return true, t.s.puts(ctx, ws)
	})
}

// clearLater deletes a partition that nothing names any more. What a stop leaves of it is garbage and hurts nobody.
func (t *Tables) clearLater(partition string) {
	if err := t.clear(t.s.ctx, partition); err != nil && t.s.ctx.Err() == nil {
		t.s.log.Warn("items that nothing needs any more could not be deleted", "partition", partition, "err", err)
	}
}

func (t *Tables) dropRows(name string, serial int) {
	if !t.s.closed() {
		t.s.back.Go(func() { t.clearLater(rowsPK(name, serial)) })
	}
}

// Take implements table.Store. It finishes what an earlier owner has left.
func (t *Tables) Take(ctx context.Context, d *table.Def, relay string, epoch int64) (out table.Info, err error) {
	err = t.s.update(ctx, func(c *change) error {
		m, i, err := t.find(ctx, c, d)
		if err != nil {
			return err
		}
		info := m.at(i)
		if info.Relay != relay || info.Epoch > epoch {
			return fmt.Errorf("table %s: relay %q has it under epoch %d: %w", d.Name, info.Relay, info.Epoch, table.ErrFenced)
		}
		info.Epoch = epoch
		c.store(modelKey(d.Name), m)
		out = m.infos()[i]
		return nil
	})
	if err == nil {
		err = t.finish(ctx, d.Name)
	}
	return out, err
}

// Rebuild implements table.Store. Rows that an earlier attempt has left under the same number go first.
func (t *Tables) Rebuild(ctx context.Context, d *table.Def, relay string, epoch int64) (out table.Info, err error) {
	if err := t.finish(ctx, d.Name); err != nil {
		return out, err
	}
	err = t.s.update(ctx, func(c *change) error {
		m, _, err := t.find(ctx, c, d)
		if err != nil {
			return err
		}
		def, err := table.AdmitRebuild(m.infos(), d, relay, epoch)
		if err != nil {
			return err
		}
		if err := t.clear(ctx, rowsPK(def.Name, def.Serial())); err != nil {
			return err
		}
		m.Building = &table.Info{Def: def, Definition: m.Live.Definition, Relay: relay, LogID: m.Live.LogID, Epoch: epoch, Updated: t.s.now().UTC()}
		c.store(modelKey(d.Name), m)
		out = m.infos()[1]
		return nil
	})
	return out, err
}

// Abandon implements table.Store.
func (t *Tables) Abandon(ctx context.Context, d *table.Def) error {
	if err := t.finish(ctx, d.Name); err != nil {
		return err
	}
	gone := 0
	err := t.s.update(ctx, func(c *change) error {
		gone = 0
		var m models
		known, err := load(ctx, c, modelKey(d.Name), &m)
		if err != nil || !known || !table.AdmitAbandon(m.infos(), d) {
			return err
		}
		gone = m.Building.Def.Serial()
		m.Building = nil
		c.store(modelKey(d.Name), m)
		return nil
	})
	if err == nil && gone > 0 {
		err = t.clear(ctx, rowsPK(d.Name, gone))
	}
	return err
}

// Swap implements table.Store.
func (t *Tables) Swap(ctx context.Context, d *table.Def) error {
	if err := t.finish(ctx, d.Name); err != nil {
		return err
	}
	old := 0
	err := t.s.update(ctx, func(c *change) error {
		old = 0
		m, _, err := t.find(ctx, c, d)
		if err != nil {
			return err
		}
		i, err := table.AdmitSwap(m.infos(), d)
		if err != nil || i == 0 {
			return err
		}
		old = m.Live.Def.Serial()
		m.Live, m.Building = *m.Building, nil
		c.store(modelKey(d.Name), m)
		return nil
	})
	if err == nil && old > 0 {
		t.dropRows(d.Name, old)
	}
	return err
}

// RenameRelay implements table.Renamer.
func (t *Tables) RenameRelay(ctx context.Context, was, now string) error {
	return t.s.update(ctx, func(c *change) error {
		all, err := list[models](ctx, c, tableDocs)
		if err != nil {
			return err
		}
		var mine []string
		for name, m := range all {
			for _, i := range m.infos() {
				switch i.Relay {
				case now:
					return nil
				case was:
					mine = append(mine, name)
				}
			}
		}
		for _, name := range mine {
			m := all[name]
			for _, i := range []*table.Info{&m.Live, m.Building} {
				if i != nil && i.Relay == was {
					i.Relay = now
				}
			}
			c.store(docKey{tableDocs, name}, m)
		}
		return nil
	})
}

// Tables implements table.Store.
func (t *Tables) Tables(ctx context.Context) (out []table.Info, err error) {
	err = t.s.view(ctx, func(c *change) error {
		all, err := list[models](ctx, c, tableDocs)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			m := all[name]
			out = append(out, m.infos()...)
		}
		return err
	})
	return out, err
}

// steadyReads is how often a read that a write came between is tried again.
const steadyReads = 50

// steady runs a read so that no write came between its parts: fn gets a name's document, and the rows of its journal.
func (t *Tables) steady(ctx context.Context, name string, fn func(m *models, pending map[string]item) error) error {
	if err := t.s.ready(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		before := t.s.newChange()
		var m models
		known, err := load(ctx, before, modelKey(name), &m)
		if err != nil {
			return t.s.reading(ctx, err)
		}
		if !known {
			return t.unknown(ctx, name)
		}
		pending := map[string]item{}
		if m.Journal != "" {
			items, err := t.journal(ctx, m.Journal)
			if err != nil {
				return t.s.reading(ctx, err)
			}
			for _, i := range items {
				pending[text(i, pk)+"\x00"+text(i, sk)] = i
			}
		}
		if err := fn(&m, pending); err != nil {
			return t.s.reading(ctx, err)
		}
		after := t.s.newChange()
		if _, err := load(ctx, after, modelKey(name), &m); err != nil {
			return t.s.reading(ctx, err)
		}
		if k := modelKey(name); after.docs[k].version == before.docs[k].version || try == steadyReads {
			return nil
		}
	}
}

// Load implements table.Reader.
func (t *Tables) Load(ctx context.Context, d *table.Def, keys []table.Row) (rows []table.Row, err error) {
	keys, err = d.Fit(keys, len(d.Key))
	if err != nil {
		return nil, err
	}
	err = t.steady(ctx, d.Name, func(m *models, pending map[string]item) error {
		if _, err := table.Find(m.infos(), d); err != nil {
			return err
		}
		c := t.s.newChange()
		c.rows = pending
		rows, err = t.load(ctx, c, d, keys)
		return err
	})
	return rows, err
}

func (t *Tables) load(ctx context.Context, c *change, d *table.Def, keys []table.Row) ([]table.Row, error) {
	found, err := t.stand(ctx, c, d, keys)
	if err != nil {
		return nil, err
	}
	rows := make([]table.Row, len(keys))
	for n, k := range keys {
		if i := found[rowSK(k)]; i != nil {
			if rows[n], err = readRow(d, i); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// Scan implements table.Reader.
func (t *Tables) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		var rows []table.Row
		err := t.steady(ctx, d.Name, func(m *models, pending map[string]item) error {
			if _, err := table.Find(m.infos(), d); err != nil {
				return err
			}
			c := t.s.newChange()
			c.rows = pending
			var err error
			rows, err = t.scan(ctx, c, d, equal)
			return err
		})
		give(rows, err, yield)
	}
}

func give(rows []table.Row, err error, yield func(table.Row, error) bool) {
	if err != nil {
		yield(nil, err)
		return
	}
	for _, r := range rows {
		if !yield(r, nil) {
			return
		}
	}
}

// scan reads a whole table, with what the change has written, in the order of its key.
func (t *Tables) scan(ctx context.Context, c *change, d *table.Def, equal map[string]table.Value) ([]table.Row, error) {
	want := map[int]table.Value{}
	for name, v := range equal {
		i := d.Index(name)
		if i < 0 {
			return nil, &table.UnknownError{Kind: "column", Name: name, Have: d.Names()}
		}
		var err error
		if want[i], err = table.Canonical(v); err != nil {
			return nil, err
		}
	}
	partition := rowsPK(d.Name, d.Serial())
	var rows []table.Row
	add := func(i item) error {
		row, err := readRow(d, i)
		if err != nil {
			return err
		}
		for n, v := range want {
			if !table.Equal(row[n], v) {
				return nil
			}
		}
		rows = append(rows, row)
		return nil
	}
	err := t.s.pages(ctx, query{pk: partition}, func(page []item) (bool, error) {
		for _, i := range page {
			at := partition + "\x00" + text(i, sk)
			if _, written := c.rows[at]; written {
				continue
			}
			c.stood[at] = text(i, "w")
			if err := add(i); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for _, i := range c.rows {
		if text(i, pk) == partition && columnsOf(i) != nil {
			if err := add(i); err != nil {
				return nil, err
			}
		}
	}
	n := len(d.Key)
	slices.SortFunc(rows, func(a, b table.Row) int { return table.CompareRows(a[:n], b[:n]) })
	return rows, nil
}

// Query implements table.Store. DynamoDB has no order but the key's: the rows are read and sorted here.
func (t *Tables) Query(ctx context.Context, q table.Query) (table.Def, iter.Seq2[table.Row, error], error) {
	var d table.Def
	var rows []table.Row
	err := t.steady(ctx, q.Table, func(m *models, pending map[string]item) error {
		d = m.Live.Def.Clone()
		c := t.s.newChange()
		c.rows = pending
		var err error
		rows, err = t.scan(ctx, c, &d, nil)
		return err
	})
	if err == nil {
		rows, err = q.Choose(&d, rows)
	}
	if err != nil {
		return table.Def{}, nil, err
	}
	return d, func(yield func(table.Row, error) bool) { give(rows, nil, yield) }, nil
}

// within is a unit's own transaction over the tables: what it writes goes with the commit.
type within struct {
	t *Tables
	c *change
}

var _ table.Tx = within{}

// Load implements table.Reader.
func (w within) Load(ctx context.Context, d *table.Def, keys []table.Row) ([]table.Row, error) {
	keys, err := d.Fit(keys, len(d.Key))
	if err != nil {
		return nil, err
	}
	if _, _, err := w.find(ctx, d); err != nil {
		return nil, err
	}
	return w.t.load(ctx, w.c, d, keys)
}

// Scan implements table.Reader.
func (w within) Scan(ctx context.Context, d *table.Def, equal map[string]table.Value) iter.Seq2[table.Row, error] {
	return func(yield func(table.Row, error) bool) {
		_, _, err := w.find(ctx, d)
		var rows []table.Row
		if err == nil {
			rows, err = w.t.scan(ctx, w.c, d, equal)
		}
		give(rows, err, yield)
	}
}

// Write implements table.Tx.
func (w within) Write(ctx context.Context, d *table.Def, put, del []table.Row) error {
	m, i, err := w.find(ctx, d)
	if err != nil {
		return err
	}
	items, err := w.t.items(ctx, w.c, &m.at(i).Def, d, put, del)
	if err != nil {
		return err
	}
	mark := nonce(6)
	for _, i := range items {
		if columnsOf(i) != nil {
			i["w"] = str(mark)
		}
		w.c.row(i)
	}
	if len(items) > 0 {
		w.c.check(modelKey(d.Name)) // it may be swapped until the commit
	}
	return nil
}

func (w within) find(ctx context.Context, d *table.Def) (*models, int, error) {
	m, i, err := w.t.find(ctx, w.c, d)
	if err == nil && m.Journal != "" {
		if err = w.t.finish(ctx, d.Name); err == nil {
			delete(w.c.docs, modelKey(d.Name))
			m, i, err = w.t.find(ctx, w.c, d)
		}
	}
	return m, i, err
}
