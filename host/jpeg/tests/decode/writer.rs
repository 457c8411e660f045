//! A small JPEG writer for the tests: files of any sampling, scan script and restart interval from given coefficients,
//! since no encoder at hand writes them. T.81, annexes B, F and G.

/// Coefficients in zigzag order, quantised.
pub(crate) type Block = [i16; 64];

#[derive(Clone)]
pub(crate) struct Component {
    pub(crate) id: u8,
    pub(crate) h: usize,
    pub(crate) v: usize,
    /// Quantisation table.
    pub(crate) table: usize,
    /// Blocks per row, in whole MCUs.
    pub(crate) across: usize,
    pub(crate) blocks: Vec<Block>,
    /// Blocks across and down, as a scan of this component alone has them.
    pub(crate) alone: (usize, usize),
}

#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) components: Vec<Component>,
    pub(crate) quantization: Vec<[u16; 64]>,
}

/// Numbers that look random, the same in each run.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % most
    }
}

impl Frame {
    /// Noise whose strength falls with the frequency, in components with identifiers 1, 2, 3, 4.
    pub(crate) fn noise(width: usize, height: usize, factors: &[(usize, usize)], seed: u64) -> Self {
        let mut noise = Noise(seed);
        let most = |of: fn(&(usize, usize)) -> usize| factors.iter().map(of).max().unwrap();
        let (h_max, v_max) = (most(|f| f.0), most(|f| f.1));
        let mcus = (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max));
        let component = |(index, &(h, v)): (usize, &(usize, usize))| Component {
            id: index as u8 + 1,
            h,
            v,
            table: index.min(1),
            across: mcus.0 * h,
            blocks: (0..mcus.0 * h * mcus.1 * v).map(|_| block(&mut noise)).collect(),
            alone: ((width * h).div_ceil(8 * h_max), (height * v).div_ceil(8 * v_max)),
        };
        let components = factors.iter().enumerate().map(component).collect();
        let table = |from: usize| std::array::from_fn(|k| (from + k / 8) as u16);
        Self { width, height, components, quantization: vec![table(3), table(5)] }
    }

    /// The same with identifiers that say that the components are red, green and blue.
    pub(crate) fn rgb(mut self) -> Self {
        for (component, id) in self.components.iter_mut().zip(*b"RGB") {
            component.id = id;
        }
        self
    }

    /// All components by their index.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.components.len()).collect()
    }
}

fn block(noise: &mut Noise) -> Block {
    let mut block = [0; 64];
    block[0] = noise.below(300) as i16 - 150;
    // Some blocks have a DC alone, some few coefficients, some many.
    let count = [0, 0, 3, 9, 40][noise.below(5)];
    for _ in 0..count {
        let k = 1 + noise.below(63);
        let most = 2 * (60 / k + 4);
        block[k] = noise.below(most) as i16 - most as i16 / 2;
    }
    block
}

/// A Huffman table: how many codes of each length, and their symbols.
#[derive(Clone)]
pub(crate) struct Huffman {
    pub(crate) counts: [u8; 16],
    pub(crate) symbols: Vec<u8>,
}

impl Huffman {
    /// Codes of four bits: 0 to 14.
    pub(crate) fn dc() -> Self {
        let mut counts = [0; 16];
        counts[3] = 15;
        Self { counts, symbols: (0..15).collect() }
    }

    /// Codes of eight bits: all symbols but the last.
    pub(crate) fn ac() -> Self {
        let mut counts = [0; 16];
        counts[7] = 255;
        Self { counts, symbols: (0..255).collect() }
    }

    /// Eight short codes, the rest of sixteen bits: more than any lookup sees.
    pub(crate) fn long(short: [u8; 8], last: u8) -> Self {
        let rest = (0..=last).filter(|symbol| !short.contains(symbol));
        let symbols: Vec<u8> = short.into_iter().chain(rest).collect();
        let mut counts = [0; 16];
        counts[..8].fill(1);
        counts[15] = (symbols.len() - 8) as u8;
        Self { counts, symbols }
    }

    fn code(&self, symbol: u8) -> (u32, u32) {
        let (mut code, mut symbols) = (0, self.symbols.iter());
        for (length, &count) in (1..).zip(&self.counts) {
            for _ in 0..count {
                if symbols.next() == Some(&symbol) {
                    return (code, length);
                }
                code += 1;
            }
            code <<= 1;
        }
        panic!("no code for {symbol:#x}");
    }
}

/// What a scan holds.
#[derive(Clone, Debug)]
pub(crate) enum Scan {
    /// All coefficients of these components.
    Sequential(Vec<usize>),
    /// Their DC, without the lowest bits.
    DcFirst(Vec<usize>, u8),
    /// One more bit of it: the one of this place.
    DcRefinement(Vec<usize>, u8),
    /// A band of one component's AC (first and last), without the lowest bits.
    AcFirst(usize, (usize, usize), u8),
    /// One more bit of it.
    AcRefinement(usize, (usize, usize), u8),
}

pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) dc: Huffman,
    pub(crate) ac: Huffman,
    restart: usize,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0xFF, 0xD8], dc: Huffman::dc(), ac: Huffman::ac(), restart: 0 }
    }

    pub(crate) fn long_codes(mut self) -> Self {
        self.dc = Huffman::long([3, 4, 5, 2, 1, 6, 0, 7], 11);
        self.ac = Huffman::long([0x00, 0x01, 0x11, 0x02, 0xF0, 0x21, 0x10, 0x03], 0xFA);
        self
    }

    pub(crate) fn segment(&mut self, marker: u8, body: &[u8]) {
        self.bytes.extend_from_slice(&[0xFF, marker]);
        self.bytes.extend_from_slice(&(body.len() as u16 + 2).to_be_bytes());
        self.bytes.extend_from_slice(body);
    }

    pub(crate) fn quantization(&mut self, frame: &Frame) {
        for (index, table) in frame.quantization.iter().enumerate() {
            let mut body = vec![index as u8];
            if table.iter().any(|&value| value > 255) {
                body[0] |= 0x10;
                body.extend(table.iter().flat_map(|value| value.to_be_bytes()));
            } else {
                body.extend(table.iter().map(|&value| value as u8));
            }
            self.segment(0xDB, &body);
        }
    }

    pub(crate) fn frame(&mut self, marker: u8, frame: &Frame) {
        let mut body = vec![8];
        body.extend_from_slice(&(frame.height as u16).to_be_bytes());
        body.extend_from_slice(&(frame.width as u16).to_be_bytes());
        body.push(frame.components.len() as u8);
        for component in &frame.components {
            let factors = (component.h << 4 | component.v) as u8;
            body.extend_from_slice(&[component.id, factors, component.table as u8]);
        }
        self.segment(marker, &body);
    }

    pub(crate) fn huffman(&mut self) {
        for (class, table) in [(0x00, self.dc.clone()), (0x10, self.ac.clone())] {
            let mut body = vec![class];
            body.extend_from_slice(&table.counts);
            body.extend_from_slice(&table.symbols);
            self.segment(0xC4, &body);
        }
    }

    pub(crate) fn restart_interval(&mut self, mcus: usize) {
        self.restart = mcus;
        self.segment(0xDD, &(mcus as u16).to_be_bytes());
    }

    pub(crate) fn scan(&mut self, frame: &Frame, scan: &Scan) {
        let (components, band, bits) = match scan {
            Scan::Sequential(components) => (components.clone(), (0, 63), 0),
            Scan::DcFirst(components, low) => (components.clone(), (0, 0), *low),
            Scan::DcRefinement(components, low) => (components.clone(), (0, 0), (low + 1) << 4 | low),
            Scan::AcFirst(component, band, low) => (vec![*component], *band, *low),
            Scan::AcRefinement(component, band, low) => (vec![*component], *band, (low + 1) << 4 | low),
        };
        let mut body = vec![components.len() as u8];
        components.iter().for_each(|&index| body.extend_from_slice(&[frame.components[index].id, 0]));
        body.extend_from_slice(&[band.0 as u8, band.1 as u8, bits]);
        self.segment(0xDA, &body);
        let mut coder =
            Coder { writer: self, bits: 0, count: 0, before: [0; 4], run: 0, corrections: vec![] };
        let mut restarts = 0;
        for (number, mcu) in mcus(frame, &components).iter().enumerate() {
            if coder.writer.restart > 0 && number > 0 && number % coder.writer.restart == 0 {
                coder.finish();
                coder.writer.bytes.extend_from_slice(&[0xFF, 0xD0 + restarts]);
                restarts = (restarts + 1) % 8;
            }
            for &(component, block) in mcu {
                coder.block(scan, component, &frame.components[component].blocks[block]);
            }
        }
        coder.finish();
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0xFF, 0xD9]);
        self.bytes
    }

    /// A whole file: SOF2 when a scan is progressive, else SOF1.
    pub(crate) fn file(mut self, frame: &Frame, scans: &[Scan], restart: usize) -> Vec<u8> {
        self.quantization(frame);
        let sequential = scans.iter().all(|scan| matches!(scan, Scan::Sequential(_)));
        self.frame(if sequential { 0xC1 } else { 0xC2 }, frame);
        self.huffman();
        if restart > 0 {
            self.restart_interval(restart);
        }
        scans.iter().for_each(|scan| self.scan(frame, scan));
        self.end()
    }
}

/// The blocks of each MCU of a scan: component and place.
fn mcus(frame: &Frame, components: &[usize]) -> Vec<Vec<(usize, usize)>> {
    if let [index] = *components {
        let component = &frame.components[index];
        let (across, down) = component.alone;
        let block = |at: usize| vec![(index, at / across * component.across + at % across)];
        return (0..across * down).map(block).collect();
    }
    let first = &frame.components[0];
    let across = first.across / first.h;
    let down = first.blocks.len() / first.across / first.v;
    let mcu = |at: usize| {
        let blocks = |&index: &usize| {
            let Component { h, v, across: row, .. } = frame.components[index];
            let (x, y) = (at % across * h, at / across * v);
            (0..h * v).map(move |block| (index, (y + block / h) * row + x + block % h))
        };
        components.iter().flat_map(blocks).collect()
    };
    (0..across * down).map(mcu).collect()
}

/// The entropy coder of one scan.
struct Coder<'w> {
    writer: &'w mut Writer,
    bits: u64,
    count: u32,
    /// The last DC of each component.
    before: [i16; 4],
    /// Blocks that end here.
    run: u32,
    /// Correction bits of those blocks.
    corrections: Vec<bool>,
}

impl Coder<'_> {
    fn put(&mut self, bits: u32, count: u32) {
        self.bits = self.bits << count | u64::from(bits);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.bits >> self.count) as u8;
            self.writer.bytes.push(byte);
            if byte == 0xFF {
                self.writer.bytes.push(0);
            }
        }
        self.bits &= (1 << self.count) - 1;
    }

    fn symbol(&mut self, table: fn(&Writer) -> &Huffman, symbol: u8) {
        let (code, length) = table(self.writer).code(symbol);
        self.put(code, length);
    }

    fn ac_symbol(&mut self, symbol: u8) {
        self.symbol(|writer| &writer.ac, symbol);
    }

    /// A value's bits after its symbol (T.81, F.1.2.1).
    fn value(&mut self, value: i32) {
        let size = size(value);
        let bits = if value < 0 { value - 1 } else { value } as u32;
        self.put(bits & ((1 << size) - 1), size);
    }

    /// Ends an interval with ones.
    fn finish(&mut self) {
        self.end_run();
        if self.count > 0 {
            self.put((1 << (8 - self.count)) - 1, 8 - self.count);
        }
        self.before = [0; 4];
    }

    fn block(&mut self, scan: &Scan, component: usize, block: &Block) {
        match scan {
            Scan::Sequential(_) => {
                self.dc(component, block[0]);
                self.sequential(block);
            }
            Scan::DcFirst(_, low) => self.dc(component, block[0] >> low),
            Scan::DcRefinement(_, low) => self.put((block[0] >> low) as u32 & 1, 1),
            Scan::AcFirst(_, band, low) => self.ac_first(block, *band, *low),
            Scan::AcRefinement(_, band, low) => self.ac_refinement(block, *band, *low),
        }
    }

    fn dc(&mut self, component: usize, dc: i16) {
        let difference = i32::from(dc) - i32::from(self.before[component]);
        self.before[component] = dc;
        self.symbol(|writer| &writer.dc, size(difference) as u8);
        self.value(difference);
    }

    fn sequential(&mut self, block: &Block) {
        let mut run = 0;
        for &value in &block[1..] {
            if value == 0 {
                run += 1;
                continue;
            }
            while run > 15 {
                self.ac_symbol(0xF0);
                run -= 16;
            }
            self.ac_symbol(run << 4 | size(value.into()) as u8);
            self.value(value.into());
            run = 0;
        }
        if run > 0 {
            self.ac_symbol(0);
        }
    }

    fn ac_first(&mut self, block: &Block, (start, end): (usize, usize), low: u8) {
        let mut run = 0;
        for &value in &block[start..=end] {
            let value = i32::from(value.abs() >> low) * i32::from(value.signum());
            if value == 0 {
                run += 1;
                continue;
            }
            self.end_run();
            while run > 15 {
                self.ac_symbol(0xF0);
                run -= 16;
            }
            self.ac_symbol(run << 4 | size(value) as u8);
            self.value(value);
            run = 0;
        }
        if run > 0 {
            self.run += 1;
        }
    }

    fn ac_refinement(&mut self, block: &Block, (start, end): (usize, usize), low: u8) {
        let level = |k: usize| block[k].abs() >> low;
        let last_new = (start..=end).rev().find(|&k| level(k) == 1).unwrap_or(0);
        let (mut run, mut corrections) = (0, Vec::new());
        for (k, &value) in block.iter().enumerate().take(end + 1).skip(start) {
            let level = level(k);
            if level == 0 {
                run += 1;
                continue;
            }
            while run > 15 && k <= last_new {
                self.end_run();
                self.ac_symbol(0xF0);
                run -= 16;
                self.flush(&mut corrections);
            }
            if level > 1 {
                corrections.push(level & 1 != 0);
                continue;
            }
            self.end_run();
            self.ac_symbol(run << 4 | 1);
            self.put(u32::from(value > 0), 1);
            self.flush(&mut corrections);
            run = 0;
        }
        if run > 0 || !corrections.is_empty() {
            self.run += 1;
            self.corrections.append(&mut corrections);
        }
    }

    fn flush(&mut self, corrections: &mut Vec<bool>) {
        corrections.drain(..).for_each(|bit| self.put(bit.into(), 1));
    }

    /// Writes how many blocks end, and their corrections.
    fn end_run(&mut self) {
        if self.run > 0 {
            let bits = self.run.ilog2();
            self.ac_symbol((bits as u8) << 4);
            self.put(self.run & ((1 << bits) - 1), bits);
            self.run = 0;
        }
        let mut corrections = std::mem::take(&mut self.corrections);
        self.flush(&mut corrections);
    }
}

fn size(value: i32) -> u32 {
    32 - value.unsigned_abs().leading_zeros()
}
