-- What is left of an order's total has tax in it in the proportion of the whole: an order that went back as a whole has no net.
UPDATE orders SET net_minor = total_minor - refund_minor
    - CAST(CAST(tax_minor AS HUGEINT) * (total_minor - refund_minor) // total_minor AS BIGINT)
WHERE refund_minor <> 0 AND total_minor <> 0;

COMMENT ON COLUMN report.orders.net_minor IS 'What is left of the total after refunds, without the tax in it, in minor units; the tax of what is left is taken in the proportion of the whole order, rounded down';
