package sqlstore

import (
	"encoding/binary"
	"sync"

	"github.com/weirhq/weir/internal/store"
)

// An entry of the cache is its stamp and then rows, one behind the other: numbers as
// varints, texts and bytes behind their lengths.

// appendText puts the length in front, so that no two lists of texts look alike.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendBody appends what [store.Query.BodyOnly] asks for.
func appendBody(b []byte, r *store.Row) []byte {
	return appendText(binary.AppendVarint(b, r.Seq), r.Body)
}

// appendListed appends what a list reads of a row of one organization and kind.
func appendListed(b []byte, r *store.Row) []byte {
	b = appendText(appendText(appendText(appendBody(b, r), r.ID), r.Parent), r.Name)
	b = binary.AppendVarint(b, r.Version)
	b = binary.AppendVarint(b, r.Created.UnixMicro())
	return binary.AppendVarint(b, r.Updated.UnixMicro())
}

// appendRow appends all of a row but its kind.
func appendRow(b []byte, r *store.Row) []byte {
	return appendText(appendText(appendListed(b, r), r.Org), r.Private)
}

// decoder reads what was appended, in the same order. Bodies are part of what it
// reads.
type decoder []byte

func (d *decoder) number() int64 {
	n, size := binary.Varint(*d)
	*d = (*d)[size:]
	return n
}

func (d *decoder) bytes() []byte {
	n, size := binary.Uvarint(*d)
	end := size + int(n)
	b := (*d)[size:end:end]
	*d = (*d)[end:]
	return b
}

// text is a text, and the one that it probably is where that is so.
func (d *decoder) text(probably string) string {
	if b := d.bytes(); string(b) != probably {
		return string(b)
	}
	return probably
}

func (d *decoder) body(s *rowScan) { s.Seq, s.Body = d.number(), d.bytes() }

func (d *decoder) listed(s *rowScan) {
	d.body(s)
	s.ID, s.Parent, s.Name = d.text(s.ID), d.text(s.Parent), d.text("")
	s.Version, s.created, s.updated = d.number(), d.number(), d.number()
	s.setTimes()
}

func (d *decoder) row(s *rowScan) {
	d.listed(s)
	s.Org, s.Private = d.text(s.Org), d.bytes()
}

// visitEntry calls f with each row of a list.
func visitEntry(entry []byte, q store.Query, f func(*store.Row) error) error {
	var s rowScan
	if !q.BodyOnly {
		s.Kind, s.Org = q.Kind, q.Org
	}
	d := decoder(entry)
	for len(d) > 0 {
		if q.BodyOnly {
			d.body(&s)
		} else {
			d.listed(&s)
		}
		if err := f(&s.Row); err != nil {
			return err
		}
	}
	return nil
}

// rooms are for entries that are put together, and lists that are read.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

// giveBack puts room back, unless it became much larger than any entry.
func giveBack(room *[]byte) {
	if cap(*room) <= 2*maxCacheEntry {
		rooms.Put(room)
	}
}
