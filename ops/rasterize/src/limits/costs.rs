//! What each thing that is drawn takes, in nanoseconds of one core: the one table of it, measured by [`super::measure`] with release
//! code on a virtual machine of two busy cores (on an idle one it is two thirds of that). A count is from a bit below what was
//! measured to ten times as much; where the two renderers differ each has its own.

/// What drawing takes by one of the renderers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// For an element, however small.
    pub(super) element: f64,
    /// For a point of an outline, and for a pixel on the way of a line.
    pub(super) point: f64,
    pub(super) edge: f64,
    /// For each two lines that are on a row of pixels together: resvg goes through the pieces of a row for each that it adds.
    pub(super) beside: f64,
    /// For a point of a stroke, or a dash.
    pub(super) stroked: f64,
    /// For a pixel of a colour, if it hides what is below and if not.
    pub(super) covered: f64,
    pub(super) filled: f64,
    /// For one of a gradient beside its stops, twice where it is radial, and for one of these.
    pub(super) gradient: f64,
    pub(super) stop: f64,
    /// For one of a pattern's tile, of a picture, and of an embedded image that is decoded.
    pub(super) tile: f64,
    pub(super) resampled: f64,
    pub(super) decoded: f64,
    /// For one of a layer, made and composed, the same where its colours are mixed with those below, and for a row of the canvas.
    pub(super) layer: f64,
    pub(super) blended: f64,
    pub(super) row: f64,
    /// For one of a clip path, and of a mask.
    pub(super) clip: f64,
    pub(super) mask: f64,
}

pub(super) const RESVG: Costs = Costs {
    element: 1000.0,
    point: 150.0,
    edge: 100.0,
    beside: 1.3,
    stroked: 500.0,
    covered: 0.4,
    filled: 8.0,
    gradient: 15.0,
    stop: 0.3,
    tile: 3.0,
    resampled: 16.0,
    decoded: 15.0,
    layer: 12.0,
    blended: 18.0,
    row: 0.0,
    clip: 18.0,
    mask: 35.0,
};

/// A clip path of one outline is the border of its layer, and takes nothing beside that.
pub(super) const VELLO: Costs = Costs {
    point: 250.0,
    edge: 40.0,
    beside: 0.0,
    covered: 0.15,
    filled: 0.4,
    gradient: 1.0,
    stop: 0.0,
    layer: 1.2,
    blended: 6.0,
    row: 50.0,
    clip: 5.0,
    ..RESVG
};

/// What a pixel of a filter's primitive takes, by resvg.
pub(super) mod filter {
    /// Around each: its result is cut to its region, its inputs may be copied and converted from one colour space to another.
    pub(crate) const AROUND: f64 = 30.0;
    /// A blur, and one with a deviation of less than two pixels.
    pub(crate) const BLUR: f64 = 160.0;
    pub(crate) const SMALL_BLUR: f64 = 420.0;
    pub(crate) const DIFFUSE_LIGHT: f64 = 40.0;
    pub(crate) const SPECULAR_LIGHT: f64 = 80.0;
    /// An octave.
    pub(crate) const NOISE: f64 = 160.0;
    /// A number of a convolution's kernel.
    pub(crate) const KERNEL: f64 = 6.5;
    /// A pixel around it that morphology looks at.
    pub(crate) const NEIGHBOUR: f64 = 2.0;
    pub(crate) const COLOUR: f64 = 25.0;
    pub(crate) const COMPOSED: f64 = 20.0;
    pub(crate) const TILED: f64 = 16.0;
}
