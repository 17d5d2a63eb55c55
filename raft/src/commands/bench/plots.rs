//! Curves as an SVG, in two panels side by side over the same causes. Must never draw a line for a
//! curve that has no points.

use std::error::Error;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

const SIZE: (u32, u32) = (1_000, 420);
/// Of more causes only some are named.
const MOST_NAMES: usize = 12;
const FONT: (&str, u32) = ("sans-serif", 15);
const COLOURS: [RGBColor; 4] =
    [RGBColor(31, 90, 180), RGBColor(20, 140, 90), RGBColor(200, 60, 40), RGBColor(140, 80, 160)];

/// What lies across: causes from left to right, as far from each other whatever they are.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What the causes are.
    pub text: String,
    /// Each one.
    pub names: Vec<String>,
}

/// One figure, up from zero.
#[derive(Clone, Debug)]
pub struct Panel {
    /// What is drawn, with its unit.
    pub caption: String,
    /// Who did it.
    pub curves: Vec<Curve>,
}

/// What one server did.
#[derive(Clone, Debug)]
pub struct Curve {
    /// The server.
    pub name: String,
    /// From left to right: the place of the cause on the axis, from 0, and the figure.
    pub points: Vec<(usize, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws both panels into a file.
pub fn draw(path: &Path, axis: &Axis, panels: &[Panel; 2]) -> anyhow::Result<()> {
    draw_both(path, axis, panels).map_err(|error| anyhow!("{}: {error}", path.display()))
}

fn draw_both(path: &Path, axis: &Axis, panels: &[Panel; 2]) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 / 2);
    draw_panel(&left, axis, &panels[0])?;
    draw_panel(&right, axis, &panels[1])?;
    root.present()?;
    Ok(())
}

fn draw_panel(area: &Area<'_>, axis: &Axis, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let figures = panel.curves.iter().flat_map(|curve| &curve.points).map(|(_, figure)| *figure);
    let highest = figures.fold(1e-3, f64::max);
    let count = axis.names.len().max(2);
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.caption, FONT)
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(-0.25..count as f64 - 0.75, 0.0..highest * 1.1)?;
    chart
        .configure_mesh()
        .x_desc(&axis.text)
        .x_labels(count.min(MOST_NAMES))
        .x_label_formatter(&|place| name_at(axis, *place))
        .label_style(FONT)
        .draw()?;
    let drawn = panel.curves.iter().filter(|curve| !curve.points.is_empty());
    for (curve, colour) in drawn.zip(COLOURS.into_iter().cycle()) {
        let points = curve.points.iter().map(|(place, figure)| (*place as f64, *figure));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(2))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(FONT)
        .background_style(WHITE)
        .draw()?;
    Ok(())
}

/// Nothing between two causes.
fn name_at(axis: &Axis, place: f64) -> String {
    let near = place.round();
    let is_there = (place - near).abs() < 1e-6 && near >= 0.0;
    is_there.then(|| axis.names.get(near as usize).cloned()).flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panel(caption: &str, curves: &[(&str, &[(usize, f64)])]) -> Panel {
        let curves = curves
            .iter()
            .map(|(name, points)| Curve { name: (*name).to_owned(), points: points.to_vec() });
        Panel { caption: caption.to_owned(), curves: curves.collect() }
    }

    #[test]
    fn every_cause_and_every_curve_with_points_is_in_the_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.svg");
        let panels = [
            panel("rate", &[("ours", &[(0, 500.0), (1, 90_000.0)]), ("redis", &[(0, 1_000.0)])]),
            panel("p99 in ms", &[("ours", &[(0, 2.5)]), ("absent", &[])]),
        ];
        for count in 1..=11 {
            let names: Vec<String> = (0..count).map(|power| format!("c{}", 1 << power)).collect();
            draw(&path, &Axis { text: "clients".into(), names: names.clone() }, &panels)
                .expect("drawn");
            let svg = std::fs::read_to_string(&path).expect("written");
            let shown = |text: &str| svg.lines().filter(|line| line.trim() == text).count();
            for name in &names {
                assert_eq!(shown(name), 2, "{name} of {count}, in each panel");
            }
            for text in ["<svg", "ours", "redis", "clients", "p99 in ms", "polyline"] {
                assert!(svg.contains(text), "{text}");
            }
            assert!(!svg.contains("absent"));
        }
        let nothing = [panel("rate", &[]), panel("p99", &[])];
        let axis = Axis { text: "clients".into(), names: Vec::new() };
        draw(&path, &axis, &nothing).expect("nothing is drawn, and nothing fails");
    }
}
