// The program prints what Go's archive/tar reads in each archive on standard input: a JSON list of lines, one
// per entry, and ERR for an error. Each archive follows its length, 4 bytes, little-endian.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func one(data []byte) []string {
	out := []string{}
	tr := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			return append(out, "ERR")
		}
		if h.Typeflag == 'g' {
			out = append(out, fmt.Sprintf("g %s", hex.EncodeToString([]byte(h.Name))))
			continue
		}
		content := ""
		size := int64(0)
		if h.Typeflag == '0' {
			if h.Size > 50000000 { // ReadAll would read the holes as well
				return append(out, "HUGE")
			}
			b, err := io.ReadAll(tr)
			if err != nil {
				return append(out, "ERR")
			}
			s := sha256.Sum256(b)
			content = hex.EncodeToString(s[:4])
			size = int64(len(b))
		}
		at := "none"
		if !h.AccessTime.IsZero() {
			at = fmt.Sprintf("%d.%09d", h.AccessTime.Unix(), h.AccessTime.Nanosecond())
		}
		x := []string{}
		for k, v := range h.PAXRecords {
			if strings.HasPrefix(k, "SCHILY.xattr.") {
				x = append(x, hex.EncodeToString([]byte(k[13:]))+"="+hex.EncodeToString([]byte(v)))
			}
		}
		out = append(out, fmt.Sprintf("%c %s %s %o %d %d %d %d.%09d %s %d,%d %s %d", h.Typeflag, hex.EncodeToString([]byte(h.Name)), hex.EncodeToString([]byte(h.Linkname)), h.Mode&07777, h.Uid, h.Gid, size, h.ModTime.Unix(), h.ModTime.Nanosecond(), at, h.Devmajor, h.Devminor, content, len(x)))
	}
}

func main() {
	r := bufio.NewReader(os.Stdin)
	w := bufio.NewWriter(os.Stdout)
	for {
		var n uint32
		if binary.Read(r, binary.LittleEndian, &n) != nil {
			break
		}
		b := make([]byte, n)
		io.ReadFull(r, b)
		j, _ := json.Marshal(one(b))
		w.Write(j)
		w.WriteString("\n")
	}
	w.Flush()
}
