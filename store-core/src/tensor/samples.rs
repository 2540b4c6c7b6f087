//! Writes small weights files, for tests: well-formed ones, and the parts that hostile ones are made of.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "shared by unit and integration tests, each of which uses a part")]

/// A safetensors file: name, dtype, shape and length of each tensor.
pub fn safetensors(tensors: &[(&str, &str, &[u64], usize)]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut end = 0;
    for (name, dtype, shape, len) in tensors {
        let start = end;
        end += len;
        entries.push(format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    safetensors_of(&format!("{{{}}}", entries.join(",")), end)
}

/// A safetensors file of this header and as many bytes of data.
pub fn safetensors_of(header: &str, data_len: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data_len, 5);
    file
}

/// A `.npy` file of version 1.
pub fn npy(descr: &str, shape: &str, data_len: usize) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while !(header.len() + 11).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\0".to_vec();
    file.extend_from_slice(&(header.len() as u16).to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + data_len, 5);
    file
}

/// A string as GGUF writes it.
pub fn gguf_string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A GGUF file in the making.
pub struct GgufFile {
    pub version: u32,
    pub alignment: usize,
    pub pair_count: u64,
    pub tensor_count: u64,
    pub pairs: Vec<u8>,
    pub infos: Vec<u8>,
}

impl GgufFile {
    pub fn new(version: u32) -> Self {
        Self { version, alignment: 32, pair_count: 0, tensor_count: 0, pairs: vec![], infos: vec![] }
    }

    pub fn pair(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.pair_count += 1;
        self.pairs.extend([&gguf_string(key)[..], &kind.to_le_bytes(), value].concat());
    }

    pub fn alignment(&mut self, alignment: u32) {
        self.pair("general.alignment", 4, &alignment.to_le_bytes());
        self.alignment = alignment as usize;
    }

    /// Dimensions are those of GGUF, fastest first; the offset counts from the start of the data.
    pub fn tensor(&mut self, name: &str, kind: u32, dims: &[u64], offset: u64) {
        self.tensor_count += 1;
        self.infos.extend([&gguf_string(name)[..], &(dims.len() as u32).to_le_bytes()].concat());
        self.infos.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        self.infos.extend([&kind.to_le_bytes()[..], &offset.to_le_bytes()].concat());
    }

    pub fn bytes(&self, data_len: usize) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend(self.tensor_count.to_le_bytes());
        file.extend(self.pair_count.to_le_bytes());
        file.extend_from_slice(&self.pairs);
        file.extend_from_slice(&self.infos);
        file.resize(file.len().next_multiple_of(self.alignment) + data_len, 5);
        file
    }
}

/// A zip in the making.
#[derive(Default)]
pub struct Zip {
    pub locals: Vec<u8>,
    pub directory: Vec<u8>,
    pub count: u64,
}

impl Zip {
    pub fn member(&mut self, name: &str, data: &[u8]) {
        self.push(name, data, 0, 0);
    }

    /// Says that it is compressed, which its bytes are not.
    pub fn compressed_member(&mut self, name: &str, data: &[u8]) {
        self.push(name, data, 8, 0);
    }

    /// With the padding that PyTorch puts into the local header, and the descriptor that it puts behind the bytes.
    pub fn aligned_member(&mut self, name: &str, data: &[u8]) {
        let before = self.locals.len() + 30 + name.len() + 4;
        self.push(name, data, 0, 4 + before.next_multiple_of(64) - before);
        self.locals.extend_from_slice(b"PK\x07\x08\0\0\0\0");
        self.locals.extend([data.len() as u32, data.len() as u32].into_iter().flat_map(u32::to_le_bytes));
    }

    fn push(&mut self, name: &str, data: &[u8], method: u16, extra_len: usize) {
        let header = self.locals.len();
        let len = (data.len() as u32).to_le_bytes();
        let mut local = b"PK\x03\x04\x14\0\0\0".to_vec();
        local.extend(method.to_le_bytes());
        local.extend([0; 8]);
        local.extend([len, len].concat());
        local.extend((name.len() as u16).to_le_bytes());
        local.extend((extra_len as u16).to_le_bytes());
        local.extend_from_slice(name.as_bytes());
        if let Some(padding) = extra_len.checked_sub(4) {
            local.extend_from_slice(b"FB");
            local.extend((padding as u16).to_le_bytes());
            local.resize(local.len() + padding, b'Z');
        }
        self.locals.extend(local);
        self.locals.extend_from_slice(data);
        self.entry(name, method, data.len() as u32, data.len() as u32, header as u32, &[]);
    }

    /// An entry of the directory alone.
    pub fn entry(&mut self, name: &str, method: u16, stored: u32, plain: u32, header: u32, extra: &[u8]) {
        self.count += 1;
        self.directory.extend_from_slice(b"PK\x01\x02\x14\0\x14\0\0\0");
        self.directory.extend(method.to_le_bytes());
        self.directory.extend([0; 8]);
        self.directory.extend([stored.to_le_bytes(), plain.to_le_bytes()].concat());
        self.directory.extend([name.len() as u16, extra.len() as u16, 0, 0, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
        self.directory.extend(header.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.directory.extend_from_slice(extra);
    }

    pub fn bytes(&self, zip64: bool) -> Vec<u8> {
        let (len, start) = (self.directory.len() as u64, self.locals.len() as u64);
        if zip64 {
            self.bytes_claiming(self.count, len, start, start + len)
        } else {
            self.bytes_of_zip32(self.count as u16, len as u32, start as u32)
        }
    }

    pub fn bytes_of_zip32(&self, count: u16, len: u32, start: u32) -> Vec<u8> {
        let mut file = [&self.locals[..], &self.directory, b"PK\x05\x06\0\0\0\0"].concat();
        file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
        file.extend([len.to_le_bytes(), start.to_le_bytes()].concat());
        file.extend([0; 2]);
        file
    }

    /// A zip64 file whose records say this.
    pub fn bytes_claiming(&self, count: u64, len: u64, start: u64, end64: u64) -> Vec<u8> {
        let mut file = [&self.locals[..], &self.directory, b"PK\x06\x06", &44_u64.to_le_bytes(), &[0; 12]].concat();
        file.extend([count, count, len, start].into_iter().flat_map(u64::to_le_bytes));
        file.extend_from_slice(b"PK\x06\x07\0\0\0\0");
        file.extend(end64.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        file.extend([0xff; 12]);
        file.extend([0; 2]);
        file
    }
}

/// A pickle of protocol 2 in the making.
pub struct Pickle(Vec<u8>);

impl Pickle {
    pub fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    pub fn raw(&mut self, opcodes: &[u8]) {
        self.0.extend_from_slice(opcodes);
    }

    pub fn text(&mut self, text: &str) {
        self.0.extend([b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat());
    }

    pub fn int(&mut self, value: u32) {
        self.0.extend([b"J", &value.to_le_bytes()[..]].concat());
    }

    pub fn open_dict(&mut self) {
        self.raw(b"}(");
    }

    pub fn close_dict(&mut self) {
        self.raw(b"u");
    }

    pub fn storage(&mut self, module: &str, kind: &str, key: &str, elements: u32) {
        self.raw(b"(");
        self.text("storage");
        self.raw(format!("c{module}\n{kind}\n").as_bytes());
        self.text(key);
        self.text("cpu");
        self.int(elements);
        self.raw(b"tQ");
    }

    pub fn tensor(&mut self, kind: &str, key: &str, elements: u32, shape: &[u32]) {
        self.raw(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        self.storage("torch", kind, key, elements);
        self.int(0);
        self.raw(b"(");
        shape.iter().for_each(|&dim| self.int(dim));
        self.raw(b"t(");
        (0..shape.len()).for_each(|at| self.int(shape[at + 1..].iter().product()));
        self.raw(b"t\x89ccollections\nOrderedDict\n)RtR");
    }

    /// What was written so far, without the protocol.
    pub fn opcodes(&self) -> &[u8] {
        &self.0[2..]
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.0[..], b"."].concat()
    }
}
