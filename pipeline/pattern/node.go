package pattern

import (
	"bytes"
	"slices"
)

// node is a step of the paths that patterns name. The paths are split at every dot, and so are the keys of events, so that
// {"a.b": 1} and {"a": {"b": 1}} are the same place.
type node struct {
	names []string // of kids, while they are few
	kids  []*node
	index map[string]*node // instead, once they are many
	field int32            // number of the field that ends here, -1 for none
}

const manyKids = 8

func newNode() *node { return &node{field: -1} }

func (n *node) leaf() bool { return len(n.kids) == 0 && len(n.index) == 0 }

// child returns the node behind a key without dots, nil where no path goes there.
func (n *node) child(key []byte) *node {
	if n.index != nil {
		return n.index[string(key)]
	}
	for i, name := range n.names {
		if string(key) == name {
			return n.kids[i]
		}
	}
	return nil
}

// descend returns the node behind any key.
func (n *node) descend(key []byte) *node {
	if n.index != nil {
		return n.descendMany(key)
	}
	for i, name := range n.names {
		if len(key) < len(name) || string(key[:len(name)]) != name {
			continue
		}
		if len(key) == len(name) {
			return n.kids[i]
		}
		if key[len(name)] == '.' { // names hold no dot, so no other name can be the one
			return n.kids[i].descend(key[len(name)+1:])
		}
	}
	return nil
}

func (n *node) descendMany(key []byte) *node {
	if c := n.index[string(key)]; c != nil {
		return c
	}
	dot := bytes.IndexByte(key, '.')
	if dot < 0 {
		return nil
	}
	c := n.index[string(key[:dot])]
	if c == nil {
		return nil
	}
	return c.descend(key[dot+1:])
}

// insert returns the node at the end of path, made where it was missing.
func (n *node) insert(path []string) *node {
	for _, name := range path {
		c := n.child([]byte(name))
		if c == nil {
			c = newNode()
			n.add(name, c)
		}
		n = c
	}
	return n
}

func (n *node) add(name string, c *node) {
	if n.index == nil && len(n.kids) < manyKids {
		n.names, n.kids = append(n.names, name), append(n.kids, c)
		return
	}
	if n.index == nil {
		n.index = make(map[string]*node, 2*manyKids)
		for i, old := range n.names {
			n.index[old] = n.kids[i]
		}
		n.names, n.kids = nil, nil
	}
	n.index[name] = c
}

// remove clears the field at the end of path and takes out the nodes that then lead nowhere.
func (n *node) remove(path []string) {
	if len(path) == 0 {
		n.field = -1
		return
	}
	c := n.child([]byte(path[0]))
	if c == nil {
		return
	}
	c.remove(path[1:])
	if c.field >= 0 || !c.leaf() {
		return
	}
	if n.index != nil {
		delete(n.index, path[0])
		return
	}
	i := slices.Index(n.names, path[0])
	n.names, n.kids = slices.Delete(n.names, i, i+1), slices.Delete(n.kids, i, i+1)
}
