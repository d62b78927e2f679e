//! What the merchant sells: one range of goods, from which the shop's products and the marketplaces' listings are
//! made. Only the range is shared; each platform keeps its own state.

use super::draw::Draw;

/// One sellable thing.
#[derive(Debug, Clone)]
pub struct Good {
    /// The merchant's SKU.
    pub sku: String,
    /// The product's name, without colour or size.
    pub product: String,
    /// The name with its colour or size.
    pub title: String,
    /// Name and value of the option that tells variants apart; none for a product with one variant.
    pub option: Option<(&'static str, &'static str)>,
    /// Which product it belongs to, counted from 0.
    pub product_number: u32,
    /// The price in cents.
    pub price_cents: i64,
    /// How many are in stock at the start.
    pub stock: i64,
    /// The weight in hundredths of an ounce.
    pub weight_hundredths: i64,
}

const BRANDS: [&str; 12] = [
    "Fog Linen",
    "Able",
    "Ōmeka",
    "Harrow & Finch",
    "Northlight",
    "Ridgeline",
    "Café Noir",
    "Bexley",
    "Tidewater",
    "Königsberg",
    "Plain Goods",
    "Sagebrush",
];

const THINGS: [&str; 20] = [
    "Chambray Towel",
    "Pour-Over Coffee Dripper",
    "Cast Iron Skillet, 10\"",
    "Beeswax Candle <unscented>",
    "Canvas Tote Bag",
    "Stainless Steel Water Bottle 24 oz",
    "Merino Wool Beanie",
    "Ceramic Mug & Saucer Set",
    "Bamboo Cutting Board with Juice Groove",
    "LED Desk Lamp with USB-C Charging Port",
    "Dog Leash 6 ft",
    "Yoga Mat, Extra Thick (1/2\")",
    "Fountain Pen, Fine Nib",
    "Linen Apron",
    "Hand Soap Refill 32 fl oz",
    "Wireless Mouse — Silent Click",
    "Kids' Rain Boots",
    "Hiking Socks (Pack of 3)",
    "Plant Pot with Drainage Tray",
    "Phone Stand, Adjustable & Foldable",
];

const OPTIONS: [(&str, [&str; 4]); 2] =
    [("Color", ["Charcoal", "Beige Stripe", "Forest Green", "Crème"]), ("Size", ["S", "M", "L", "XL"])];

/// The merchant's range: `count` things, some of them variants of one product.
pub fn goods(seed: u64, count: u32) -> Vec<Good> {
    let mut goods = Vec::new();
    let mut product_number = 0;
    while u32::try_from(goods.len()).unwrap_or(u32::MAX) < count {
        let left = count.saturating_sub(u32::try_from(goods.len()).unwrap_or(count));
        goods.extend(product(seed, product_number, left));
        product_number += 1;
    }
    goods
}

/// The variants of one product, at most `left` of them.
fn product(seed: u64, product_number: u32, left: u32) -> Vec<Good> {
    let mut draw = Draw::new(seed, "product", u64::from(product_number));
    let name = format!("{} {}", draw.word(&BRANDS), draw.word(&THINGS));
    let stem: String = name.chars().filter(char::is_ascii_alphabetic).take(5).collect();
    let base = format!("{}-{:04}", stem.to_uppercase(), 1_000 + product_number);
    let price_cents = draw.between(4, 90) * 100 + draw.pick(&[99, 95, 49, 0]).copied().unwrap_or(99);
    let weight_hundredths = draw.between(50, 9_000);
    let mut good = |sku: String, title: String, option| Good {
        sku,
        title,
        option,
        product: name.clone(),
        product_number,
        price_cents,
        stock: draw.between(800, 6_000),
        weight_hundredths,
    };
    if product_number % 4 != 3 || left < 2 {
        return vec![good(base, name.clone(), None)];
    }
    let Some((option, values)) = OPTIONS.get(usize::from(product_number % 8 == 7)) else { return Vec::new() };
    let count = usize::try_from(left).unwrap_or(4).min(4);
    values
        .iter()
        .take(count)
        .map(|value| {
            let short: String = value.chars().filter(char::is_ascii_alphabetic).take(3).collect();
            good(
                format!("{base}-{}", short.to_uppercase()),
                format!("{name} - {value}"),
                Some((*option, *value)),
            )
        })
        .collect()
}
