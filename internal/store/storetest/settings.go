package storetest

import (
	"bytes"
	"crypto/rand"
	"fmt"

	"github.com/weirhq/weir/internal/store"
)

func settings(b *bench) {
	name := rand.Text()
	_, err := b.Setting(b.ctx, name)
	b.wantNotFound("setting", err)
	for i, value := range [][]byte{[]byte("a\x00\xff"), []byte("other")} {
		b.update(func(tx store.Tx) error {
			put, err := tx.PutSetting(b.ctx, name, value)
			if put != (i == 0) {
				b.Errorf("put %d: %v", i, put)
			}
			if got, err := tx.Setting(b.ctx, name); err != nil || string(got) != "a\x00\xff" {
				b.Errorf("in the transaction: %q, %v", got, err)
			}
			return err
		})
		if got, err := b.Setting(b.ctx, name); err != nil || string(got) != "a\x00\xff" {
			b.Errorf("got %q, %v", got, err)
		}
	}
	empty := rand.Text()
	b.update(func(tx store.Tx) error {
		_, err := tx.PutSetting(b.ctx, empty, nil)
		return err
	})
	if got, err := b.Setting(b.ctx, empty); err != nil || len(got) != 0 {
		b.Errorf("an empty setting is %q, %v", got, err)
	}
}

// settingRace is how replicas agree on a key: one puts it, all read that one.
func settingRace(b *bench) {
	name := rand.Text()
	puts, values := make([]bool, 8), make([][]byte, 8)
	for i, err := range together(8, func(i int) error {
		return b.Store.Update(b.ctx, func(tx store.Tx) (err error) {
			if puts[i], err = tx.PutSetting(b.ctx, name, fmt.Append(nil, i)); err != nil {
				return err
			}
			values[i], err = tx.Setting(b.ctx, name)
			return err
		})
	}) {
		if err != nil {
			b.Errorf("%d: %v", i, err)
		}
	}
	want, err := b.Setting(b.ctx, name)
	if err != nil {
		b.Fatal(err)
	}
	for i := range puts {
		if puts[i] != bytes.Equal(want, fmt.Append(nil, i)) || !bytes.Equal(values[i], want) {
			b.Errorf("%d put %v and read %q, stored is %q", i, puts[i], values[i], want)
		}
	}
}
