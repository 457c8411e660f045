//! Colours on a lattice of up to four dimensions, and what lies between them: in the tetrahedron around a point along the last
//! three dimensions, in a line along those before, as most colour engines do it.

/// Nodes of three numbers and one that is not used: four are added at once.
#[derive(Clone, Debug)]
pub(super) struct Lattice {
    sides: Vec<usize>,
    nodes: Vec<[f32; 4]>,
}

impl Lattice {
    /// The last of `sides` runs fastest; there are as many nodes as they say, at least one.
    pub(super) fn new(sides: &[usize], nodes: Vec<[f32; 4]>) -> Self {
        debug_assert_eq!(sides.iter().product::<usize>(), nodes.len());
        Self { sides: sides.to_vec(), nodes }
    }

    pub(super) fn dimensions(&self) -> usize {
        self.sides.len()
    }

    /// What it has at a place whose coordinates are from 0 to 1 of each side, one for each dimension.
    pub(super) fn at(&self, place: &[f32]) -> [f32; 4] {
        match *place {
            [a] => self.between([a]),
            [a, b, c] => self.between([a, b, c]),
            [a, b, c, d] => self.between([a, b, c, d]),
            _ => [0.0; 4],
        }
    }

    /// The same for a number of dimensions that the compiler knows.
    #[inline(always)]
    pub(super) fn between<const N: usize>(&self, place: [f32; N]) -> [f32; 4] {
        let (mut first, mut stride) = (0, 1);
        let mut steps = [(0.0, 0); N];
        for dimension in (0..N).rev() {
            let side = self.sides[dimension];
            let coordinate = place[dimension].clamp(0.0, 1.0) * (side - 1) as f32;
            let cell = (coordinate as usize).min(side.saturating_sub(2));
            steps[dimension] = (coordinate - cell as f32, if side > 1 { stride } else { 0 });
            first += cell * stride;
            stride *= side;
        }
        self.along(first, &steps)
    }

    #[inline(always)]
    fn along(&self, first: usize, steps: &[(f32, usize)]) -> [f32; 4] {
        match *steps {
            [(part, step), a, b, c] => {
                let (low, high) =
                    (self.tetrahedron(first, [a, b, c]), self.tetrahedron(first + step, [a, b, c]));
                std::array::from_fn(|i| low[i] + (high[i] - low[i]) * part)
            }
            [a, b, c] => self.tetrahedron(first, [a, b, c]),
            [a] => self.tetrahedron(first, [a, (0.0, 0), (0.0, 0)]),
            _ => self.nodes[first],
        }
    }

    /// From the node `first` on in the order of the parts: along the longest, then the next, then the shortest.
    #[inline(always)]
    fn tetrahedron(&self, first: usize, [mut a, mut b, mut c]: [(f32, usize); 3]) -> [f32; 4] {
        if a.0 < b.0 {
            std::mem::swap(&mut a, &mut b);
        }
        if b.0 < c.0 {
            std::mem::swap(&mut b, &mut c);
        }
        if a.0 < b.0 {
            std::mem::swap(&mut a, &mut b);
        }
        let [one, two, three] = [first + a.1, first + a.1 + b.1, first + a.1 + b.1 + c.1];
        let nodes = [first, one, two, three].map(|node| self.nodes[node]);
        let weights = [1.0 - a.0, a.0 - b.0, b.0 - c.0, c.0];
        let term = |i: usize, node: usize| nodes[node][i] * weights[node];
        std::array::from_fn(|i| term(i, 0) + term(i, 1) + term(i, 2) + term(i, 3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_met_everywhere_in_any_number_of_dimensions() {
        for sides in [&[5][..], &[3, 2, 4], &[2, 3, 2, 5], &[1, 3, 2]] {
            let weights = [0.5, -2.0, 3.0, 7.0];
            let value =
                |place: &[f32]| place.iter().zip(weights).map(|(at, weight)| at * weight).sum::<f32>();
            let count = sides.iter().product::<usize>();
            let place = |mut index: usize| {
                let mut place = vec![0.0; sides.len()];
                for (at, &side) in place.iter_mut().zip(sides).rev() {
                    *at = (index % side) as f32 / (side.max(2) - 1) as f32;
                    index /= side;
                }
                place
            };
            let nodes = (0..count).map(|index| [value(&place(index)), 1.0, 0.0, 0.0]).collect();
            let lattice = Lattice::new(sides, nodes);
            for step in 0..50 {
                let mut at: Vec<f32> =
                    (0..sides.len()).map(|d| ((step * (7 + 6 * d)) % 50) as f32 / 49.0).collect();
                if sides[0] == 1 {
                    at[0] = 0.0;
                }
                let [got, one, ..] = lattice.at(&at);
                assert!(
                    (got - value(&at)).abs() < 1e-4 && (one - 1.0).abs() < 1e-5,
                    "{sides:?} {at:?}: {got}"
                );
            }
        }
    }
}
